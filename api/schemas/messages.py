"""A message in requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, SkipValidation, model_validator

from tempogram.api.schemas.base import ResponseModel, given
from tempogram.api.schemas.fields import BotId, ChatField, UserId, time_of
from tempogram.api.schemas.sending import Sending
from tempogram.engine.model.messages import PARKED_MS, ChatId, Priority, Status
from tempogram.engine.ports import Explanation, WaitsAt
from tempogram.storage.files.uploads import StoredFile
from tempogram.storage.messages import AttemptState, MessageState

BATCH_MAX = 10_000
"""Messages in one ``POST /messages/batch``, and ids in one selection. From the design."""

EXAMPLE_ID = "018bcfe5680000000000000007"


class MessageIn(Sending):
    """A message to send: a ``text``, or any ``method`` of the Bot API with its ``params``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"bot": "123456", "chat_id": 7, "text": "Your parcel is here."},
                {
                    "bot": "123456",
                    "chat_id": "@news",
                    "method": "sendPhoto",
                    "params": {"photo": "https://example.org/cat.jpg", "caption": "A cat."},
                    "priority": "low",
                    "send_at": "2026-12-24T18:00:00+01:00",
                    "expires_in_s": 3600,
                    "dedup_key": "newsletter-2026-12:@news",
                    "tag": "newsletter",
                },
            ],
            "oneOf": [given("text", type="string"), given("method", type="string")],
        }
    )

    bot: BotId
    chat_id: ChatField | None = None
    text: str | None = Field(None, description="Short for the method sendMessage with this text.")
    method: str | None = Field(None, pattern=r"^[A-Za-z]{1,64}$", description="As Telegram spells it.")
    params: dict[str, Any] = Field(default_factory=dict, description="The method's parameters without chat_id.")
    user_id: UserId = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.text is None) == (self.method is None):
            raise ValueError("a message needs either a text or a method")
        if "chat_id" in self.params:
            raise ValueError("chat_id belongs beside method, not in params")
        if self.text is not None and "text" in self.params:
            raise ValueError("text is given twice, beside params and in them")
        return self


BatchIn = Annotated[list[Annotated[MessageIn, SkipValidation]], Field(json_schema_extra={"maxItems": BATCH_MAX})]
"""Validated one by one later: an invalid entry must not refuse the others."""


class StatusOut(ResponseModel):
    """A message and its status: accepted now, before with the same ``dedup_key``, or cancelled."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": EXAMPLE_ID, "status": "queued"}]})

    id: str
    status: Status


class RefusedOut(ResponseModel):
    """One entry of a batch that was not accepted."""

    error: str = Field(examples=["text is missing"])


class TagCancelledOut(ResponseModel):
    """How many messages with a tag were cancelled."""

    cancelled: int
    left: int = Field(description="Looked at and left: they are being sent, or not in the queue yet.")
    is_complete: bool = Field(description="Every message that had the tag was looked at. false: ask again.")


class AttemptOut(ResponseModel):
    """One call that was made."""

    number: int
    outcome: str = Field(examples=["sent", "throttled", "failed"])
    started_at: datetime | None
    recorded_at: datetime | None
    code: int | None
    reason: str | None
    delivered_items: int | None = Field(description="How many items arrived of an album that did not as a whole.")

    @classmethod
    def of(cls, state: AttemptState) -> Self:
        return cls(
            number=state.number,
            outcome=state.outcome,
            started_at=time_of(state.started_at_ms),
            recorded_at=time_of(state.recorded_at_ms),
            code=state.code,
            reason=state.reason,
            delivered_items=state.delivered_items,
        )


class FileOut(ResponseModel):
    """A file that was uploaded with a message."""

    name: str = Field(examples=["photo"])
    file_name: str = Field(examples=["cat.jpg"])
    bytes: int
    sha256: str
    file_id: str | None = Field(description="Telegram's name for it, once it is known; it can be sent again by it.")

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        return cls(
            name=file.name, file_name=file.file_name, bytes=file.size_bytes, sha256=file.sha256, file_id=file.file_id
        )


class LetterOut(ResponseModel):
    """The state of a message, without its content."""

    id: str = Field(examples=[EXAMPLE_ID])
    bot: str
    chat_id: ChatId | None
    method: str
    priority: Priority
    status: Status
    attempt: int = Field(description="Attempts spent; a 429 spends none.")
    submitted_at: datetime | None
    send_at: datetime | None = Field(description="Not before this time.")
    expires_at: datetime | None
    sent_at: datetime | None
    settled_at: datetime | None = Field(description="When its status became final.")
    telegram_message_id: int | None
    reason: str | None
    tag: str | None

    @classmethod
    def of(cls, state: MessageState) -> Self:
        return cls(**_fields_of(state))


class MessageOut(LetterOut):
    """The state of a message, its files, and every call that was made for it, oldest first."""

    delivered_items: int = Field(description="Items of an album that arrived before the rest; method is the rest's.")
    attempts: list[AttemptOut]
    files: list[FileOut]

    @classmethod
    def of(cls, state: MessageState) -> Self:
        return cls(
            **_fields_of(state),
            delivered_items=sum(each.delivered_items or 0 for each in state.attempts),
            attempts=[AttemptOut.of(each) for each in state.attempts],
            files=[FileOut.of(each) for each in state.files],
        )


class ExplanationOut(ResponseModel):
    """Why a message still waits."""

    id: str = Field(examples=[EXAMPLE_ID])
    waits_at: WaitsAt = Field(description="What keeps the messages of its chat and priority waiting.")
    before_in_lane: int = Field(description="Messages of its chat that are sent before it.")
    before_in_line: int = Field(
        description="Messages of its bot and priority that are sent before it, its chat's included, if no chat waits."
    )
    earliest_at: datetime | None = Field(description="Not before this time. null: its bot is paused, or see waits_for.")
    waits_for: list[str] = Field(description="The messages that must have ended before, as it refers to them.")
    tag: str | None

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        return cls(
            id=explanation.message_id,
            waits_at=explanation.waits_at,
            before_in_lane=explanation.before_in_lane,
            before_in_line=explanation.before_in_line,
            earliest_at=time_of(explanation.earliest_at_ms),
            waits_for=list(explanation.waits_for),
            tag=explanation.tag,
        )


def _fields_of(state: MessageState) -> dict[str, Any]:
    return {
        "id": state.id,
        "bot": str(state.bot_id),
        "chat_id": state.chat_id,
        "method": state.method,
        "priority": state.priority,
        "status": state.status,
        "attempt": state.attempt,
        "submitted_at": time_of(state.submitted_at_ms),
        "send_at": time_of(None if state.ready_at_ms in {0, PARKED_MS} else state.ready_at_ms),
        "expires_at": time_of(state.expires_at_ms),
        "sent_at": time_of(state.settled_at_ms) if state.status is Status.SENT else None,
        "settled_at": time_of(state.settled_at_ms),
        "telegram_message_id": state.telegram_message_id,
        "reason": state.reason,
        "tag": state.tag,
    }
