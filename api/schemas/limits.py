"""The limits in requests and responses."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.api.schemas.fields import AS_WHOLE
from tempogram.engine.limits.limits import Limit, Limits

COUNT_MAX = 100_000
WINDOW_S_MAX = 86_400
BURST_MAX = 1_000
CAP_MAX = 1_000_000_000

Count = Annotated[
    Annotated[int, Strict(), Field(ge=0, le=COUNT_MAX), AS_WHOLE] | None,
    Field(description="Messages in any window; 0 = no limit."),
]
Window = Annotated[float | None, Strict(), Field(ge=0.001, le=WINDOW_S_MAX, description="Seconds.")]
Burst = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=BURST_MAX), AS_WHOLE] | None,
    Field(description="Messages at once, after a pause."),
]
BurstBeside = Annotated[
    Annotated[int, Strict(), Field(ge=0, le=BURST_MAX), AS_WHOLE] | None,
    Field(description="Messages at once, refilled at count / window_s, besides the window; 0 = only the window holds."),
]
Cap = Annotated[
    Annotated[int, Strict(), Field(ge=0, le=CAP_MAX), AS_WHOLE] | None,
    Field(description="Messages that may wait; 0 = no cap."),
]


class Change(RequestModel):
    """A change: fields that are left out stay, and at least one is given."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.given_fields():
            *names, last = type(self).model_fields
            raise ValueError(f"say what to change: {', '.join(names)} or {last}")
        return self

    def given_fields(self) -> dict[str, Any]:
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


WITH_BURST = ConfigDict(
    json_schema_extra={
        "anyOf": [
            given("count", type="integer"),
            given("window_s", type="number"),
            given("burst", type="integer"),
        ]
    }
)


class LimitChange(Change):
    """A change of one limit."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [given("count", type="integer"), given("window_s", type="number")]}
    )

    count: Count = None
    window_s: Window = None

    def changes(self) -> dict[str, Any]:
        """Return the fields of a ``Limit``."""
        given_fields = self.given_fields()
        if "window_s" in given_fields:
            given_fields["window_ms"] = round(given_fields.pop("window_s") * 1_000)
        return given_fields


class PacedLimitChange(LimitChange):
    """A change of a limit with a bucket besides its window."""

    model_config = WITH_BURST

    burst: BurstBeside = None

    def changes(self) -> dict[str, Any]:
        """Return the fields of a ``Limit``, whose burst is None where there is no bucket."""
        changes = super().changes()
        return changes | ({"burst": changes["burst"] or None} if "burst" in changes else {})


class ChatLimitChange(LimitChange):
    """A change of the limit of a private chat."""

    model_config = WITH_BURST

    burst: Burst = None


class LimitsChange(Change):
    """A change of the limits; fields that are left out stay."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"bot": {"count": 20}}, {"chat_cap": 500}],
            "anyOf": [
                *(given(name, type="object") for name in ("ceiling", "bot", "paid", "chat", "group", "user")),
                *(given(name, type="integer") for name in ("chat_cap", "bot_cap")),
            ],
        }
    )

    ceiling: PacedLimitChange | None = Field(None, description="Of all bots together.")
    bot: PacedLimitChange | None = Field(None, description="Of one bot.")
    paid: LimitChange | None = Field(None, description="Of one bot, for paid broadcasts.")
    chat: ChatLimitChange | None = Field(None, description="Of one private chat.")
    group: PacedLimitChange | None = Field(None, description="Of one group or channel.")
    user: LimitChange | None = Field(None, description="Of what one user triggers at one bot.")
    chat_cap: Cap = None
    bot_cap: Cap = None

    def changes(self) -> dict[str, Any]:
        """Return the fields of ``Limits``."""
        given_fields = self.given_fields()
        return {name: each.changes() if isinstance(each, LimitChange) else each for name, each in given_fields.items()}


class LimitOut(ResponseModel):
    """At most ``count`` messages in any window; with ``burst``, so many at once after a pause.

    For a private chat the burst alone holds: 1 a second after a burst of 3 are more than 1 in a window.
    """

    count: int
    window_s: float
    burst: int | None

    @classmethod
    def of(cls, limit: Limit) -> Self:
        return cls(count=limit.count, window_s=limit.window_ms / 1_000, burst=limit.burst)


class LimitsOut(ResponseModel):
    """The limits in force. Each change raises the version."""

    version: int
    ceiling: LimitOut
    bot: LimitOut
    paid: LimitOut
    chat: LimitOut
    group: LimitOut
    user: LimitOut
    chat_cap: int
    bot_cap: int

    @classmethod
    def of(cls, limits: Limits) -> Self:
        names = ("ceiling", "bot", "paid", "chat", "group", "user")
        return cls(
            version=limits.version,
            **{name: LimitOut.of(getattr(limits, name)) for name in names},
            chat_cap=limits.chat_cap,
            bot_cap=limits.bot_cap,
        )
