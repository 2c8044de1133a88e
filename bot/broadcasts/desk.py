"""The operators' chat: which one it is, and what is asked for there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from aiogram.types import Chat
from pydantic import ValidationError

from tempogram.api.core.ports import Refusal
from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.broadcasts import BroadcastIn, BroadcastOut, ForecastOut
from tempogram.bot.broadcasts.words import forecast
from tempogram.engine.broadcasts.board import BroadcastConflict, Broadcasts
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, SettingsError
from tempogram.engine.model.messages import ChatId

LISTS = {"type": "types", "tag": "tags", "without_tag": "without_tags", "language": "languages"}
"""Options that say which chats, each with several values parted by commas."""

DAYS = ("wrote_days_ago", "active_days", "quiet_days")
TIMES = ("at", "zone")

EXAMPLE = "/broadcast spring language=en,de active_days=90 at=10:00"


QUEUE_AWAY = "the queue cannot be reached now; a change is stored, and followed once it can; look again later"
LEDGER_AWAY = "the database cannot be reached now; try again later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the behaviour ``broadcasts`` needs.

    Attributes:
        bot_id: The bot of the alerts, whose chats are written to; None: there is no operators' chat.
        chat_id: The operators' chat.
    """

    board: Broadcasts
    bot_id: int | None
    chat_id: ChatId

    def is_for(self, bot_id: int, chat: Chat) -> bool:
        """Tell whether a chat is the operators'."""
        name = f"@{chat.username}".lower() if chat.username else None
        return bot_id == self.bot_id and self.chat_id in {chat.id, name}

    async def draft(self, asked: str, *, from_chat_id: int, message_id: int) -> tuple[int, str]:
        """Make a draft that copies a post; return its id, and what it would do.

        Raises:
            Refusal: One sentence that says what is wrong.
        """
        assert self.bot_id is not None, "it is asked for in the operators' chat"  # noqa: S101 - an invariant
        content = {"method": "copyMessage", "params": {"from_chat_id": from_chat_id, "message_id": message_id}}
        wanted = _wanted({"bot": self.bot_id, **content, **options(asked)})
        try:
            made = await self.board.create(wanted.name, wanted.plan({}))
        except SettingsError as error:
            raise Refusal(str(error)) from None
        except LedgerError:
            raise Refusal(f"nothing was made: {LEDGER_AWAY}") from None
        try:
            found = forecast(ForecastOut.of(await self.board.preview(made.id)))
        except (BrokerUnavailable, LedgerError):
            found = "What it would do cannot be said while the queue or the database is away."
        return made.id, f"Broadcast {made.id}, {made.name}: a draft.\n{found}"

    async def do(self, what: str, broadcast_id: int) -> BroadcastOut:
        """Start, pause, resume, cancel or retry a broadcast of this bot, or look at it.

        Raises:
            Refusal: It cannot be done now; one sentence.
        """
        try:
            return await self._done(what, broadcast_id)
        except BrokerUnavailable:
            raise Refusal(QUEUE_AWAY) from None
        except LedgerError:
            raise Refusal(LEDGER_AWAY) from None

    async def _done(self, what: str, broadcast_id: int) -> BroadcastOut:
        broadcast = await self.board.get(broadcast_id)
        if broadcast.bot_id != self.bot_id:
            raise Refusal(f"broadcast {broadcast_id} is of another bot")
        changes = {
            "start": self.board.start,
            "pause": self.board.pause,
            "resume": self.board.resume,
            "cancel": self.board.cancel,
            "retry": self.board.retry,
        }
        try:
            changed = await changes[what](broadcast_id) if what in changes else broadcast
        except BroadcastConflict as error:
            raise Refusal(str(error)) from None
        return BroadcastOut.of(await self.board.progress(changed))


def options(asked: str) -> dict[str, Any]:
    """Read what follows ``/broadcast``: a name, and options.

    >>> options("spring language=en,de active_days=90 at=10:00")
    {'name': 'spring', 'selection': {'languages': ['en', 'de'], 'active_days': 90}, 'at': '10:00'}
    """
    read: dict[str, Any] = {"name": "post", "selection": {}}
    for word in _words(asked):
        name, is_option, value = word.partition("=")
        if not is_option:
            read["name"] = word
        elif name in LISTS:
            read["selection"][LISTS[name]] = value.split(",")
        elif name in DAYS and value.isascii() and value.isdecimal():
            read["selection"][name] = int(value)
        elif name == "daily_cap" and value.isascii() and value.isdecimal():
            read[name] = int(value)
        elif name in TIMES:
            read[name] = value
        elif name == "quiet_hours" and "-" in value:
            read[name] = quiet_hours(value)
        elif name == "spread_h" and value.replace(".", "", 1).isdecimal():
            read[name] = float(value)
        else:
            raise Refusal(f"{word[:64]} is no option; write it like {EXAMPLE}")
    return read


def quiet_hours(text: str) -> dict[str, str]:
    """Return the two ends of quiet hours.

    >>> quiet_hours("22:00-08:00")
    {'from': '22:00', 'until': '08:00'}
    """
    start, _, end = text.partition("-")
    return {"from": start, "until": end}


def _words(asked: str) -> list[str]:
    try:
        return shlex.split(asked)
    except ValueError:
        raise Refusal(f"a quotation mark has no other; write it like {EXAMPLE}") from None


def _wanted(values: dict[str, Any]) -> BroadcastIn:
    try:
        return BroadcastIn.model_validate(values)
    except ValidationError as error:
        raise Refusal(first_sentence(error)) from None
