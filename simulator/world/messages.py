"""What the chats show now: messages can be edited, deleted, forwarded and replied to while they are kept."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Key = tuple[int, int, int]  # whose count of ids it is (a bot, or 0 in a supergroup), chat, message

SUPERGROUPS_BELOW = -1_000_000_000_000  # supergroups and channels are -100 followed by their number


@dataclass(slots=True)
class Messages:
    """The last ``kept`` messages of all chats; a deleted one is remembered as such.

    Supergroups and channels have one count of message ids. In private chats and basic groups each bot
    has its own, so there one number means another message to another bot.
    """

    kept: int
    last_of_bot: dict[tuple[int, int], int] = field(default_factory=dict)
    _shown: OrderedDict[Key, Json | None] = field(default_factory=OrderedDict)
    # The highest id that newer messages pushed out, by whose count and (in supergroups) chat.
    _pushed_out: dict[tuple[int, int], int] = field(default_factory=dict)

    def keep(self, bot_id: int, message: Json) -> None:
        """Show a new message, or a known one as it is now; ``bot_id`` says whose count its id is of."""
        chat_id: int = message["chat"]["id"]
        self._shown[_owner(bot_id, chat_id), chat_id, message["message_id"]] = message
        if len(self._shown) > self.kept:
            self._push_out()

    def keep_own(self, bot_id: int, message: Json) -> None:
        """Show a new message of a bot's."""
        self.keep(bot_id, message)
        self.last_of_bot[bot_id, message["chat"]["id"]] = message["message_id"]

    def find(self, bot_id: int, chat_id: int, message_id: int) -> Json | None:
        """Return a message as a bot sees it: None if there is none, ``{}`` if it is not kept any more."""
        owner = _owner(bot_id, chat_id)
        key = (owner, chat_id, message_id)
        if key in self._shown:
            return self._shown[key]
        is_old = 0 < message_id <= self._pushed_out.get(_count_of(owner, chat_id), 0)
        return {} if is_old else None

    def delete(self, bot_id: int, chat_id: int, message_id: int) -> bool:
        """Show a message no more; False if there is none."""
        found = self.find(bot_id, chat_id, message_id)
        if found:
            self._shown[_owner(bot_id, chat_id), chat_id, message_id] = None
        return found is not None

    def of_chat(self, chat_id: int, *, bot_id: int | None = None) -> Iterator[Json]:
        """List what a chat shows, oldest first; ``bot_id`` leaves out what other bots see."""
        return (message for _, message in self._of_chat(chat_id, bot_id) if message is not None)

    def deleted_of_chat(self, chat_id: int, *, bot_id: int | None = None) -> Iterator[int]:
        """List the ids of messages that were deleted, as far as they are remembered."""
        return (message_id for message_id, message in self._of_chat(chat_id, bot_id) if message is None)

    def _of_chat(self, chat_id: int, bot_id: int | None) -> Iterator[tuple[int, Json | None]]:
        for (owner, chat, message_id), message in self._shown.items():
            if chat == chat_id and bot_id in {None, owner or bot_id}:
                yield message_id, message

    def _push_out(self) -> None:
        (owner, chat_id, message_id), message = self._shown.popitem(last=False)
        count = _count_of(owner, chat_id)
        self._pushed_out[count] = max(self._pushed_out.get(count, 0), message_id)
        sender_id = (message or {}).get("from", {}).get("id", 0)
        if self.last_of_bot.get((sender_id, chat_id)) == message_id:
            del self.last_of_bot[sender_id, chat_id]


def _owner(bot_id: int, chat_id: int) -> int:
    return bot_id if chat_id > SUPERGROUPS_BELOW else 0


def _count_of(owner: int, chat_id: int) -> tuple[int, int]:
    return (owner, 0) if owner else (0, chat_id)
