"""What was sent and received, without its content."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from tempogram.api.schemas.base import ResponseModel
from tempogram.api.schemas.fields import TELEGRAM_ID_MAX, time_of
from tempogram.api.schemas.messages import EXAMPLE_ID
from tempogram.engine.model.messages import ChatId
from tempogram.storage.lookups import After
from tempogram.storage.messages import ChatMessage, Direction

TelegramNumber = Annotated[
    int, Field(ge=1, le=TELEGRAM_ID_MAX, description="Telegram's message_id: it counts anew in each chat.")
]

IncomingCursor = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,15}-[0-9a-f]{1,64}$"), Field(description="The last page's next_after.")
]


class HistoryOut(ResponseModel):
    """One message, in either direction."""

    id: str = Field(examples=[EXAMPLE_ID])
    bot: str
    chat_id: ChatId
    direction: Direction
    method: str = Field(description="As Telegram spells it; ``message`` for what was received.")
    status: str = Field(description="As of a message, or ``received``.")
    at: datetime | None = Field(description="When it was submitted or received.")
    telegram_message_id: int | None

    @classmethod
    def of(cls, message: ChatMessage) -> Self:
        return cls(
            id=message.id,
            bot=str(message.bot_id),
            chat_id=message.chat_id,
            direction=message.direction,
            method=message.method,
            status=message.status,
            at=time_of(message.submitted_at_ms),
            telegram_message_id=message.telegram_message_id,
        )


class FoundOut(ResponseModel):
    """The messages with a number, oldest first: one, and then its edits."""

    messages: list[HistoryOut]


class ChatHistoryOut(ResponseModel):
    """One page, newest first. ``next_before`` is the ``before`` of the next page; null: this is the last."""

    messages: list[HistoryOut]
    next_before: str | None


class IncomingOut(ResponseModel):
    """One page, oldest first. ``next_after`` is the ``after`` of the next page; null: this is the last."""

    messages: list[HistoryOut]
    next_after: str | None


def read_cursor(cursor: str | None) -> After | None:
    """Return where a page begins.

    >>> read_cursor("1700000000000-018bcfe5680000000000000007")
    After(at_ms=1700000000000, message_id='018bcfe5680000000000000007')
    """
    if cursor is None:
        return None
    at_ms, _, message_id = cursor.partition("-")
    return After(int(at_ms), message_id)


def cursor_of(last: ChatMessage) -> str:
    return f"{last.submitted_at_ms}-{last.id}"
