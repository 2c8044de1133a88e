"""What is known of a chat, in requests, responses and imports."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import HALF_OF_A_PAIR, ChatField, Flag, Tag, TimeMs, time_of
from tempogram.api.schemas.local_times import Minute, QuietHoursIn, clock_of, read_zone
from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import QuietHours
from tempogram.engine.selection.languages import LANGUAGE, is_language
from tempogram.storage.chat_facts import UNCHANGED, ChatFacts, Unchanged
from tempogram.storage.chats import KnownChat

PAGE_MAX = 1_000
TAGS_MAX = 50
TITLE_MAX = 256
WRONG_LINES_MAX = 100
"""In one answer; the rest is counted."""


def read_language(value: object) -> str | None:
    """Return a language, or None for none."""
    if value is None or (isinstance(value, str) and is_language(value)):
        return value
    raise ValueError("should be a language such as de or pt-BR")


def read_title(value: object) -> str | None:
    """Return a title, or None for none."""
    is_text = isinstance(value, str) and 0 < len(value) <= TITLE_MAX and "\x00" not in value
    if value is None or (is_text and not HALF_OF_A_PAIR.search(str(value))):
        return None if value is None else str(value)
    raise ValueError(f"should be a text of up to {TITLE_MAX} characters")


def _text_or_null(description: str, **text: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", **text}, {"type": "null"}], "description": description})


Zone = Annotated[
    str | None,
    BeforeValidator(lambda value: None if value is None else read_zone(value)),
    _text_or_null("An IANA name; null: not known.", examples=["Europe/Berlin"]),
]
Language = Annotated[
    str | None,
    BeforeValidator(read_language),
    _text_or_null("An IETF tag; null: not known.", pattern=f"^{LANGUAGE.pattern}$", examples=["de"]),
]
Title = Annotated[str | None, BeforeValidator(read_title), _text_or_null("Its name.", minLength=1, maxLength=TITLE_MAX)]
Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX, description="All that it has from now on.")]


class ChatChange(RequestModel):
    """What is said of a chat; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "examples": [
                {"time_zone": "Europe/Berlin", "tags": ["vip"]},
                {"quiet_hours": {"from": "22:00", "until": "08:00"}},
            ],
        }
    )

    time_zone: Zone = None
    language: Language = None
    tags: Tags = Field(default_factory=list)
    opted_out: Flag = Field(default=False, description="true: nothing is sent there of the bot's own accord.")
    quiet_hours: QuietHoursIn | None = Field(None, description="null: those of each campaign.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say what to change: time_zone, language, tags, opted_out or quiet_hours")
        return self

    def facts(self, chat_id: ChatId, now_ms: int) -> ChatFacts:
        """Return what is said, now."""
        return ChatFacts(
            chat_id=chat_id,
            time_zone=self._said("time_zone"),
            language=self._said("language"),
            tags=self._said("tags", tuple),
            opted_out_at_ms=self._said("opted_out", lambda opted_out: now_ms if opted_out else None),
            quiet_hours=self._hours(),
        )

    def _said(self, name: str, made: Any = lambda value: value) -> Any:
        return made(getattr(self, name)) if name in self.model_fields_set else UNCHANGED

    def _hours(self) -> QuietHours | Unchanged | None:
        hours: QuietHours | Unchanged | None = self._said("quiet_hours", lambda given: given and given.hours())
        return hours


class ChatLine(ChatChange):
    """One line of an import."""

    chat_id: ChatField
    quiet_from: Minute | None = None
    quiet_until: Minute | None = None
    last_message_in: TimeMs = 0
    type: Literal["private", "group", "supergroup", "channel"] | None = None
    title: Title = None

    @model_validator(mode="after")
    def _has_both_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet_from and quiet_until should be given together")
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise ValueError("quiet_until should be another time than quiet_from")
        return self

    def said(self, now_ms: int) -> ChatFacts:
        """Return what the line says."""
        return replace(
            self.facts(self.chat_id, now_ms),
            last_message_in_at_ms=self._said("last_message_in"),
            type=self._said("type"),
            title=self._said("title"),
        )

    def _hours(self) -> QuietHours | Unchanged | None:
        if self.quiet_from is not None and self.quiet_until is not None:
            return QuietHours(from_minute=self.quiet_from, until_minute=self.quiet_until)
        if {"quiet_from", "quiet_until"} & self.model_fields_set:
            return None
        return super()._hours()


COLUMNS = tuple(name for name in ChatLine.model_fields if name != "quiet_hours")
"""Of an import in CSV."""

ChatCursor = Annotated[str, StringConstraints(pattern=r"^(-?[0-9]{1,19}|@[A-Za-z0-9_]{1,64})$")]


class QuietHoursOut(ResponseModel):
    """Times of the chat's local day."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    starts: str = Field(alias="from", examples=["22:00"])
    ends: str = Field(alias="until", examples=["08:00"])

    @classmethod
    def of(cls, hours: QuietHours) -> Self:
        return cls(starts=clock_of(hours.from_minute), ends=clock_of(hours.until_minute))


class ChatOut(ResponseModel):
    """What is known of one chat of a bot."""

    chat_id: int | str
    type: str | None
    title: str | None
    reachable: bool
    reason: str | None = Field(description="Why it is not reachable, as Telegram says it.")
    time_zone: str | None
    language: str | None
    tags: list[str]
    opted_out: bool
    opted_out_at: datetime | None
    quiet_hours: QuietHoursOut | None
    last_message_in: datetime | None
    last_message_out: datetime | None

    @classmethod
    def of(cls, chat: KnownChat) -> Self:
        return cls(
            chat_id=chat.chat_id,
            type=chat.type,
            title=chat.title,
            reachable=chat.reachable,
            reason=chat.reason,
            time_zone=chat.time_zone,
            language=chat.language,
            tags=list(chat.tags),
            opted_out=chat.opted_out_at_ms is not None,
            opted_out_at=time_of(chat.opted_out_at_ms),
            quiet_hours=None if chat.quiet_hours is None else QuietHoursOut.of(chat.quiet_hours),
            last_message_in=time_of(chat.last_message_in_at_ms),
            last_message_out=time_of(chat.last_message_out_at_ms),
        )


class ChatsOut(ResponseModel):
    """One page. ``next_after`` is the ``after`` of the next page; null: this is the last."""

    chats: list[ChatOut]
    next_after: str | None


class WrongLineOut(ResponseModel):
    """A line that was not stored."""

    line: int = Field(description="Its number in the body, from 1; a header is line 1.")
    reason: str


class ImportedOut(ResponseModel):
    """What was stored of an import."""

    stored: int
    wrong: int
    wrong_lines: list[WrongLineOut] = Field(description=f"The first {WRONG_LINES_MAX} of them.")


class ErasureOut(ResponseModel):
    """What was deleted of a chat."""

    erased: dict[str, int] = Field(description="Rows that were deleted, by table.")
    left: int = Field(
        description="Rows that go once they have ended: messages that are being sent, updates that are being handled, "
        "broadcasts that go on. A task looks after them every hour."
    )


class ErasedOut(ResponseModel):
    """That a chat was erased."""

    erased_at: datetime


class LiftedOut(ResponseModel):
    """That a chat may be written to again."""

    lifted: bool
