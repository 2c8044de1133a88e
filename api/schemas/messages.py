"""What requests and answers look like. A token goes in, and none ever comes out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, Strict, model_validator

from tempogram.api.schemas.fields import AS_WHOLE, BotId, ChatField, Flag, MessageId, QueryFlag, TimeMs, time_of
from tempogram.engine.model.messages import ChatId, Guarantee, PausedBy, Priority, Status
from tempogram.engine.ports import Explanation, WaitsAt
from tempogram.engine.resilience.conditions import Condition
from tempogram.storage.bots import RegisteredBot, Source
from tempogram.storage.files.uploads import StoredFile
from tempogram.storage.messages import AttemptState, MessageState

BATCH_MAX = 10_000
"""Messages in one ``POST /messages/batch``, and ids in one selection. From the design."""

QUERY_IDS_MAX = 500
"""Ids in one address: of 64 characters each they have 35 KB, and a server reads 64."""

EXPIRES_IN_S_MAX = 366 * 86_400
WEIGHT_MAX = 1_000

EXAMPLE_ID = "018bcfe5680000000000000007"


class RequestModel(BaseModel):
    """A request. A misspelt field is refused, because it would be ignored silently otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


def given(name: str, **value: Any) -> dict[str, Any]:
    """Return a schema for «this field stands there, and is not null», to be one of several."""
    return {"required": [name], "properties": {name: value}}


class MessageIn(RequestModel):
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
    priority: Priority = Field(Priority.NORMAL, description="Shared 16 : 4 : 1, never strictly.")
    send_at: TimeMs | None = None
    expires_in_s: float | None = Field(
        None, gt=0, le=EXPIRES_IN_S_MAX, description="Not sent after this many seconds, counted from send_at or now."
    )
    dedup_key: str | None = Field(
        None,
        pattern=r"^[!-~]{1,200}$",
        description="The same key of the same bot is accepted once within RETENTION_DAYS. Printable ASCII.",
    )
    delivery: Guarantee = Field(
        Guarantee.AT_LEAST_ONCE,
        description="What happens if nobody knows whether it arrived: at_least_once tries again.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.text is None) == (self.method is None):
            raise ValueError("a message needs either a text or a method")
        if "chat_id" in self.params:
            raise ValueError("chat_id stands beside method, not in params")
        if self.text is not None and "text" in self.params:
            raise ValueError("text stands beside params, and in params too")
        return self


BatchIn = Annotated[list[Annotated[MessageIn, SkipValidation]], Field(json_schema_extra={"maxItems": BATCH_MAX})]
"""Validated one by one later: a wrong entry must not refuse its neighbours."""


class TakenOut(ResponseModel):
    """A message that is accepted, now or, with a known ``dedup_key``, before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": EXAMPLE_ID, "status": "queued"}]})

    id: str
    status: Status


class RefusedOut(ResponseModel):
    """One entry of a batch that was not accepted."""

    error: str = Field(examples=["text is missing"])


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
    """Where a message stands. What it says is not part of it."""

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

    @classmethod
    def of(cls, state: MessageState) -> Self:
        return cls(**_letter(state))


class MessageOut(LetterOut):
    """Where a message stands, its files, and every call that was made for it, oldest first."""

    delivered_items: int = Field(description="Items of an album that arrived before the rest; method is the rest's.")
    attempts: list[AttemptOut]
    files: list[FileOut]

    @classmethod
    def of(cls, state: MessageState) -> Self:
        return cls(
            **_letter(state),
            delivered_items=sum(each.delivered_items or 0 for each in state.attempts),
            attempts=[AttemptOut.of(each) for each in state.attempts],
            files=[FileOut.of(each) for each in state.files],
        )


class ExplanationOut(ResponseModel):
    """Why a message still waits."""

    id: str = Field(examples=[EXAMPLE_ID])
    waits_at: WaitsAt = Field(description="The first gate that keeps back the messages of its chat and priority.")
    before_in_lane: int = Field(description="Messages that its chat gets before it.")
    before_in_line: int = Field(
        description="Messages of its bot and priority that go before it, if every chat's may go; its chat's included."
    )
    earliest_at: datetime | None = Field(description="Not before this time. null: its bot is paused.")

    @classmethod
    def of(cls, told: Explanation) -> Self:
        return cls(
            id=told.message_id,
            waits_at=told.waits_at,
            before_in_lane=told.before_in_lane,
            before_in_line=told.before_in_line,
            earliest_at=time_of(told.earliest_at_ms),
        )


def _letter(state: MessageState) -> dict[str, Any]:
    return {
        "id": state.id,
        "bot": str(state.bot_id),
        "chat_id": state.chat_id,
        "method": state.method,
        "priority": state.priority,
        "status": state.status,
        "attempt": state.attempt,
        "submitted_at": time_of(state.submitted_at_ms),
        "send_at": time_of(state.ready_at_ms or None),
        "expires_at": time_of(state.expires_at_ms),
        "sent_at": time_of(state.settled_at_ms) if state.status is Status.SENT else None,
        "settled_at": time_of(state.settled_at_ms),
        "telegram_message_id": state.telegram_message_id,
        "reason": state.reason,
    }


class LaneCounts(ResponseModel):
    """A message stands in exactly one of the five."""

    high: int
    normal: int
    low: int
    retry: int = Field(description="Tried, and waiting to be tried again.")
    dlq: int = Field(description="Dead letters.")


class QueueStatsOut(ResponseModel):
    """How many messages are open, and how many were given up on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "stats": {"high": 0, "normal": 5, "low": 2, "retry": 1, "dlq": 0},
                    "total_queued": 8,
                    "total_failed": 0,
                }
            ]
        }
    )

    stats: LaneCounts
    total_queued: int
    total_failed: int


class DeadLettersOut(ResponseModel):
    """One page. ``next_after`` is what ``after`` must be for the next one; null: there is none."""

    letters: list[LetterOut]
    next_after: str | None


class Selection(RequestModel):
    """Which dead letters are meant: these ids, or all of one bot, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": [EXAMPLE_ID]}, {"bot": "123456"}, {"all": True}],
            "oneOf": [
                given("ids", type="array"),
                given("bot", type=["string", "integer"]),
                given("all", const=True),
            ],
        }
    )

    ids: list[MessageId] | None = Field(None, min_length=1, max_length=BATCH_MAX)
    bot: BotId | None = None
    all: Flag = False

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if [self.ids is not None, self.bot is not None, self.all].count(True) != 1:
            raise ValueError("say which dead letters are meant: one of ids, bot and all")
        return self


class SelectionQuery(Selection):
    """The same in an address."""

    ids: list[MessageId] | None = Field(None, min_length=1, max_length=QUERY_IDS_MAX)
    all: QueryFlag = False


class ReplayedOut(ResponseModel):
    """How many dead letters were queued again."""

    replayed: int


class PurgedOut(ResponseModel):
    """How many dead letters were removed."""

    purged: int


Behaviours = Annotated[
    dict[str, Any],
    Field(description="What the bot does: a behaviour's name and its settings.", examples=[{"echo": {}}]),
]


UPDATES: Any = Field(
    None,
    description=(
        "Where its updates come from; webhook if PUBLIC_URL is set, else polling. "
        "none: its owner gets them in his own way."
    ),
)


class BotIn(RequestModel):
    """A bot to run."""

    token: str = Field(
        min_length=1,
        max_length=160,
        description="From @BotFather. Kept encrypted, and never shown.",
        json_schema_extra={"pattern": "^[0-9]{1,18}:[A-Za-z0-9_-]{1,128}$"},  # the fleet says what is wrong with it
    )
    behaviours: Behaviours | None = None
    updates: Source | None = UPDATES


class BotChange(RequestModel):
    """What to change of a bot; what is not named stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"paused": True}, {"weight": 3}],
            "anyOf": [
                given("behaviours", type="object"),
                given("paused", type="boolean"),
                given("weight", type="integer"),
                given("updates", type="string"),
            ],
        }
    )

    behaviours: Behaviours | None = None
    paused: Flag | None = Field(None, description="A paused bot sends nothing; its messages wait.")
    weight: Annotated[int, Strict(), Field(ge=1, le=WEIGHT_MAX), AS_WHOLE] | None = Field(
        None, description="So many turns for one of a bot that weighs 1."
    )
    updates: Source | None = UPDATES

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if (self.behaviours, self.paused, self.weight, self.updates) == (None, None, None, None):
            raise ValueError("say what to change: behaviours, paused, weight or updates")
        return self


class BotOut(ResponseModel):
    """One bot, without its token."""

    id: str = Field(examples=["123456"])
    username: str
    first_name: str
    behaviours: Behaviours
    paused: bool
    paused_by: PausedBy | None = Field(description="token_revoked ends with a valid token. null: it is not paused.")
    weight: int
    updates: Source
    added_at: datetime | None

    @classmethod
    def of(cls, bot: RegisteredBot, source: Source) -> Self:
        return cls(
            id=str(bot.bot_id),
            username=bot.username,
            first_name=bot.first_name,
            behaviours=dict(bot.behaviours),
            paused=bot.paused,
            paused_by=bot.paused_by,
            weight=bot.weight,
            updates=source,
            added_at=time_of(bot.added_at_ms),
        )


class BotsOut(ResponseModel):
    """Every bot, in the order of their ids."""

    bots: list[BotOut]


class RemovedOut(ResponseModel):
    """How many messages were cancelled with a bot."""

    cancelled: int


class HealthOut(ResponseModel):
    """Up or not: this path is open to everybody. What is wrong meanwhile is for those who bring a bearer token."""

    status: Literal["up", "down"]
    conditions: list[Condition] | None = None


class ErrorBody(ResponseModel):
    """``code`` is a word for programs, ``message`` a sentence for people."""

    code: str = Field(examples=["invalid"])
    message: str = Field(examples=["priority should be 'high', 'normal' or 'low', not 'urgent'"])


class ErrorOut(ResponseModel):
    """The one form in which anything is refused."""

    error: ErrorBody
