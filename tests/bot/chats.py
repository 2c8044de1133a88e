"""A Telegram of chats that keep their messages: what a user would see in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from tempogram.bot.telegram.references import referred
from tempogram.engine.model.messages import ChatId, Lease, Outgoing
from tempogram.engine.model.outcomes import Answer, Rejected, Sent
from tempogram.engine.ports import Handles, MayWrite
from tests.engine.desk import Reply, ScriptedTransport
from tests.fakes import START_MS

Params = Mapping[str, Any]

MEDIA = ("photo", "video", "document")
LABEL = "message_effect_id"
"""A parameter of every call that makes a message, and of no edit: a test knows a message by it."""


@dataclass
class Shown:
    """A message as its chat shows it."""

    label: str | None
    text: str | None = None
    caption: str | None = None
    media: str | None = None
    markup: Any = None
    reply_to: str | None = None
    is_pinned: bool = False
    is_live: bool = True
    reaction: Any = None


@dataclass
class Chats:
    """All chats of a Telegram. A call that it refuses raises ``ValueError`` with Telegram's words."""

    messages: dict[ChatId, dict[int, Shown]] = field(default_factory=dict)
    last_id: int = 0

    def call(self, method: str, chat_id: ChatId, params: Params) -> Any:
        """Do what a call asks for, and return its result as the Bot API does."""
        if method == "sendMediaGroup":
            return [self._send(chat_id, {**params, **item, item["type"]: item["media"]}) for item in params["media"]]
        if method.startswith("send"):
            return self._send(chat_id, params)
        doing: Callable[[ChatId, Params], Any] = getattr(self, method)
        return doing(chat_id, params)

    def shown(self, chat_id: ChatId) -> list[Shown]:
        return list(self.messages.get(chat_id, {}).values())

    def texts(self, chat_id: ChatId) -> list[str | None]:
        return [each.text for each in self.shown(chat_id)]

    def find(self, chat_id: ChatId, message_id: Any, to: str = "edit") -> Shown:
        try:
            return self.messages[chat_id][message_id]
        except KeyError:
            raise ValueError(f"Bad Request: message to {to} not found") from None

    # Calls

    def _send(self, chat_id: ChatId, params: Params) -> Any:
        media = next((params[kind] for kind in MEDIA if kind in params), None)
        said = Shown(params.get(LABEL), params.get("text"), params.get("caption"), media, params.get("reply_markup"))
        said.reply_to = self._replied(chat_id, params.get("reply_parameters"))
        return self._put(chat_id, said)

    def editMessageText(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802 - Telegram's name, as below
        shown = self.find(chat_id, params["message_id"])
        if shown.text is None:
            raise ValueError("Bad Request: there is no text in the message to edit")
        shown.text, shown.markup = params["text"], params.get("reply_markup")
        return self._answer(chat_id, params["message_id"])

    def editMessageCaption(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        shown = self.find(chat_id, params["message_id"])
        if shown.media is None:
            raise ValueError("Bad Request: there is no caption in the message to edit")
        shown.caption, shown.markup = params.get("caption"), params.get("reply_markup")
        return self._answer(chat_id, params["message_id"])

    def editMessageReplyMarkup(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"]).markup = params.get("reply_markup")
        return self._answer(chat_id, params["message_id"])

    def deleteMessage(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"], "delete")
        del self.messages[chat_id][params["message_id"]]
        return True

    def deleteMessages(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        for message_id in params["message_ids"]:
            self.messages.get(chat_id, {}).pop(message_id, None)
        return True

    def copyMessage(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        return {"message_id": self._copy(chat_id, params, params["message_id"])["message_id"]}

    def forwardMessage(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        return self._copy(chat_id, params, params["message_id"])

    def copyMessages(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        return [{"message_id": self._copy(chat_id, params, each)["message_id"]} for each in params["message_ids"]]

    def pinChatMessage(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"], "pin").is_pinned = True
        return True

    def unpinChatMessage(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"], "unpin").is_pinned = False
        return True

    def setMessageReaction(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"], "react").reaction = params.get("reaction")
        return True

    def stopMessageLiveLocation(self, chat_id: ChatId, params: Params) -> Any:  # noqa: N802
        self.find(chat_id, params["message_id"]).is_live = False
        return self._answer(chat_id, params["message_id"])

    def _copy(self, chat_id: ChatId, params: Params, message_id: int) -> Any:
        source = self.find(params["from_chat_id"], message_id, "copy")
        return self._put(chat_id, Shown(params.get(LABEL), source.text, source.caption, source.media))

    def _replied(self, chat_id: ChatId, quote: Any) -> str | None:
        if quote is None:
            return None
        try:
            return self.find(quote.get("chat_id", chat_id), quote["message_id"], "be replied").label
        except ValueError:
            if quote.get("allow_sending_without_reply"):
                return None
            raise

    def _put(self, chat_id: ChatId, said: Shown) -> Any:
        self.last_id += 1
        self.messages.setdefault(chat_id, {})[self.last_id] = said
        return self._answer(chat_id, self.last_id)

    def _answer(self, chat_id: ChatId, message_id: int) -> Any:
        said = self.messages[chat_id][message_id]
        chat = {"id": chat_id, "type": "private" if isinstance(chat_id, int) and chat_id > 0 else "supergroup"}
        found = {"message_id": message_id, "date": START_MS // 1_000, "chat": chat, "text": said.text}
        return {name: value for name, value in (found | {"caption": said.caption}).items() if value is not None}


class ChatTransport(ScriptedTransport):
    """Answers as a Telegram does that keeps its messages; what is scripted comes first."""

    chats: Chats
    handles: Handles

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        referring = await referred(lease.message, self.handles)
        if not isinstance(referring, Outgoing):
            return Answer(referring, counted_at_ms=None)
        return await super().send(structs.replace(lease, message=referring), may_write)

    def reply_to(self, lease: Lease) -> Reply:
        if self.script:
            return super().reply_to(lease)
        message = lease.message
        assert message.chat_id is not None
        try:
            result = self.chats.call(message.method, message.chat_id, msgspec.json.decode(message.params))
        except ValueError as refused:
            return Rejected(400, str(refused))
        item_ids = tuple(each["message_id"] for each in result) if isinstance(result, list) else ()
        return Sent(_number_of(result), msgspec.json.encode({"ok": True, "result": result}), item_ids=item_ids)


def _number_of(result: Any) -> int | None:
    first = result[0] if isinstance(result, list) else result
    return first["message_id"] if isinstance(first, dict) else None
