"""One conversation, step by step: what scripted users do, what they wait for, and what they see at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tempogram.simulator.sync_client import Remote, RemoteBot, RemoteChat, RemoteUser

Json = dict[str, Any]

POLL_S = 0.01
WITHIN_S = 40.0
TOKEN = "42:token-of-the-test-bot"
GROUP_ID = -1_000_000_000_005
STAFF_ID = -1_000_000_000_006
ANNA_ID, BORIS_ID, CARLA_ID = 7, 8, 9
EARLIER = "earlier "
"""So begins what fills a group before a conversation, and is no part of it."""
PRIVATE_PART = "\x1d"
"""aiogram-dialog puts a random number and this before what a button stands for."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as it is shown at the end."""

    sender: str
    text: str
    buttons: tuple[tuple[str, ...], ...] = ()
    reply_to: str = ""
    is_edited: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """What all users see at the end, by chat, and what their buttons, queries and payments were answered with."""

    chats: dict[str, list[Shown]]
    answers: list[Json | None]
    steps: int = field(default=0, compare=False)

    def lines(self) -> list[str]:
        """Return it as it is read: a test shows which line differs."""
        shown = [f"{name}: {each}" for name, chat in self.chats.items() for each in chat]
        return [*shown, *(f"answered: {answer}" for answer in self.answers)]

    def without_edit_marks(self) -> Transcript:
        """Return the same without who was edited: an edit of what still waits leaves no mark."""
        return Transcript(
            {name: [replace(each, is_edited=False) for each in chat] for name, chat in self.chats.items()}, self.answers
        )


async def at_once() -> None:
    """Do not wait: the program keeps the order of one user's updates."""


@dataclass(slots=True)
class Talk:
    """Users who talk with one bot, in a private chat or in a group; a step ends when the bot's answer is there.

    Attributes:
        idle: Waits until the program has nothing more to do for what was said so far.
        after_step: Is called when a user has done something, before its answer is waited for.
    """

    telegram: Remote
    bot: RemoteBot
    place: RemoteBot | RemoteChat
    group: RemoteChat
    anna: RemoteUser
    boris: RemoteUser
    carla: RemoteUser
    idle: Callable[[], Awaitable[None]] = at_once
    after_step: Callable[[], Awaitable[None]] = at_once
    steps: int = 0
    _queries: list[str] = field(default_factory=list)
    _read: dict[tuple[int, int], tuple[str, Json]] = field(default_factory=dict)

    @classmethod
    def begin(cls, telegram: Remote, *, in_group: bool) -> Talk:
        """Make the users, the group and the bot."""
        bot = telegram.add_bot(TOKEN, "the_bot")
        anna, boris, carla = (
            telegram.add_user(name, user_id=user_id)
            for name, user_id in (("Anna", ANNA_ID), ("Boris", BORIS_ID), ("Carla", CARLA_ID))
        )
        group = telegram.add_chat("supergroup", "Friends", bots=[bot], chat_id=GROUP_ID, owner_id=ANNA_ID)
        telegram.add_chat("supergroup", "Staff", bots=[bot], chat_id=STAFF_ID)
        return cls(telegram, bot, group if in_group else bot, group, anna, boris, carla)

    @property
    def chat_id(self) -> int:
        return self.place.chat_id if isinstance(self.place, RemoteChat) else ANNA_ID

    async def says(self, text: str, *, by: RemoteUser | None = None, reply_to: int | None = None) -> int:
        """Write where the conversation is."""
        message_id = (by or self.anna).says(self.place, text, reply_to=reply_to)
        await self._acted()
        return message_id

    async def asks(self, text: str, *answers: str, by: RemoteUser | None = None) -> Json:
        """Write, wait for each of the answers, and return the last one."""
        await self.says(text, by=by)
        return [await self.reads(answer) for answer in answers][-1]

    async def sends(self, kind: str, *, times: int = 1, caption: str = "") -> None:
        self.anna.sends(self.place, kind, times=times, caption=caption)
        await self._acted()

    async def presses(self, message: Json, button: str, *, by: RemoteUser | None = None) -> Json:
        """Press a button, and return what the bot answered."""
        return await self._answered((by or self.anna).presses(self.place, message["message_id"], button))

    async def pays(self, message: Json) -> Json:
        return await self._answered(self.anna.pays(self.place, message["message_id"]))

    async def asks_inline(self, text: str, *, offset: str = "") -> Json:
        return await self._answered(self.anna.asks_inline(self.bot, text, offset=offset))

    async def chooses(self, result: str, text: str) -> None:
        self.anna.chooses(self.bot, result, text)
        await self._acted()

    async def reads(self, text: str, *, chat_id: int | None = None) -> Json:
        """Wait for a message that shows a text which it did not show when it was last read."""
        chat = chat_id or self.chat_id

        def unread() -> Json | None:
            for message in self.telegram.messages(chat):
                key, shows = (chat, message["message_id"]), (text_of(message), message.get("reply_markup", {}))
                if shows[0] == text and self._read.get(key) != shows and is_of(self.bot, message):
                    self._read[key] = shows
                    return message
            return None

        found: Json = await self.until(unread, f"{text!r} in {chat}")
        return found

    async def misses(self, text: str) -> None:
        """Wait until no message shows a text."""
        await self.until(lambda: text not in self.texts() or None, f"no {text!r}")

    async def edited(self, text: str, *, method: str = "editMessageText") -> None:
        """Wait for an edit that no chat shows, of an inline message."""
        await self.until(
            lambda: [c for c in self.telegram.calls(method) if (c["text"], c["code"]) == (text, 200)] or None,
            f"an edit to {text!r}",
        )

    def texts(self, chat_id: int | None = None) -> list[str]:
        return [text_of(message) for message in self.telegram.messages(chat_id or self.chat_id)]

    async def until(self, found: Callable[[], Any], what: str) -> Any:
        """Poll until something is found: it happens in another thread or process."""
        until_s = time.monotonic() + WITHIN_S
        while (it := found()) is None:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{what} was waited for in vain\nshown: {self.texts()}\ncalls: {self._last_calls()}")
            await asyncio.sleep(POLL_S)
        await self.idle()
        return it

    def transcript(self) -> Transcript:
        """Write down what is shown in all chats."""
        chats = {GROUP_ID: "group", STAFF_ID: "staff", ANNA_ID: "Anna", BORIS_ID: "Boris", CARLA_ID: "Carla"}
        shown = {name: list(shown_in(self.telegram.messages(chat_id))) for chat_id, name in chats.items()}
        return Transcript(shown, [self.telegram.answer_to(query_id) for query_id in self._queries], self.steps)

    def _last_calls(self) -> list[tuple[object, ...]]:
        """Return the end of what the bot did, to show why a conversation came to an end."""
        calls = [call for call in self.telegram.calls() if call["method"] != "getUpdates"]
        return [
            tuple(call[name] for name in ("method", "code", "chat_id", "message_id", "text")) for call in calls[-8:]
        ]

    async def _acted(self) -> None:
        self.steps += 1
        await self.after_step()

    async def _answered(self, query_id: str) -> Json:
        self._queries.append(query_id)
        await self._acted()
        answer: Json = await self.until(lambda: self.telegram.answer_to(query_id), "an answer to a query")
        return answer


def is_of(bot: RemoteBot, message: Json) -> bool:
    return bool(message.get("from", {}).get("id") == bot.bot_id)


def text_of(message: Json) -> str:
    """Return what a message shows, in words.

    >>> text_of({"caption": "the sea", "photo": [{}]}), text_of({"text": "hello"})
    ('[photo] the sea', 'hello')
    """
    if "text" in message:
        return str(message["text"])
    kinds = ("photo", "document", "sticker", "invoice", "successful_payment", "new_chat_members")
    kind = next((kind for kind in kinds if kind in message), "something")
    words = {"invoice": lambda: f" {message['invoice']['total_amount']}"}.get(kind, lambda: "")()
    return f"[{kind}]{words} {message.get('caption', '')}".strip()


def shown_in(messages: Iterable[Json]) -> Iterable[Shown]:
    for message in messages:
        if text_of(message).startswith(EARLIER):
            continue
        yield Shown(
            sender=message["from"]["first_name"],
            text=text_of(message),
            buttons=tuple(
                tuple(map(button_of, row)) for row in message.get("reply_markup", {}).get("inline_keyboard", ())
            ),
            reply_to=text_of(message["reply_to_message"]) if "reply_to_message" in message else "",
            is_edited="edit_date" in message,
        )


def button_of(button: Json) -> str:
    """Return a button's words and what they stand for."""
    does = [
        f"{name}={str(value).rpartition(PRIVATE_PART)[2]}" for name, value in sorted(button.items()) if name != "text"
    ]
    return f"{button['text']} ({', '.join(does)})"
