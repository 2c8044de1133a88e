"""What chats watch, in requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, Strict, StringConstraints

from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import AS_WHOLE, BotId, ChatField, Flag, time_of
from tempogram.engine.model.texts import INVISIBLE
from tempogram.engine.model.watches import KEY_MAX, Observation, Plan, Preset, Value, Watched

NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,31}$"

Name = Annotated[str, StringConstraints(pattern=NAME)]

KEY = rf"^[^{INVISIBLE}]{{1,{KEY_MAX}}}$"

Key = Annotated[str, StringConstraints(pattern=KEY), Field(examples=["tea"])]

INTERVAL_S_MAX = 366 * 86_400


class SubscriptionIn(RequestModel):
    """A chat that watches an item."""

    bot: BotId
    chat_id: ChatField
    source: Name
    key: Key


class SubscriptionOut(ResponseModel):
    """What was done."""

    changed: bool = Field(description="false: it was so before.")


class PlanIn(RequestModel):
    """How many items a chat may watch, and how often each is checked by the preset by_user."""

    items_max: Annotated[int, Strict(), Field(ge=0, le=100_000), AS_WHOLE]
    interval_s: Annotated[int, Strict(), Field(ge=3_600, le=INTERVAL_S_MAX), AS_WHOLE]
    priority: Annotated[int, Strict(), Field(ge=0, le=1_000), AS_WHOLE] = Field(
        0, description="Items of a higher one are checked first."
    )
    is_open: Flag = Field(
        default=False, description="true: a chat may choose it with /plan; false: it is by invitation."
    )


class PlanOut(ResponseModel):
    """A plan."""

    name: str
    items_max: int
    interval_s: int
    priority: int
    is_open: bool

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(
            name=plan.name,
            items_max=plan.items_max,
            interval_s=plan.interval_ms // 1_000,
            priority=plan.priority,
            is_open=plan.is_open,
        )


class PlansOut(ResponseModel):
    """All plans, by name."""

    plans: list[PlanOut]


class MemberIn(RequestModel):
    """A chat that gets a plan: an invitation."""

    bot: BotId
    chat_id: ChatField
    plan: Name


class SourceOut(ResponseModel):
    """A source of items."""

    name: str
    service: str
    operation: str


class WatchesOut(ResponseModel):
    """What is watched, and how."""

    preset: Preset
    sources: list[SourceOut]
    items: int
    subscriptions: int
    due: int = Field(description="Items that are to be checked now; of each source counted up to 10,000.")
    failing: int = Field(description="Items for which their source did not answer the last time.")
    waiting: int = Field(description="Changes of which a chat is not notified yet.")


class WatchedOut(ResponseModel):
    """An item as it is known."""

    source: str
    key: str
    fields: dict[str, Value] | None = Field(description="null: its source has not answered yet; {}: it is gone.")
    checked: datetime = Field(description="When its source last answered, or it was added.")
    changed: datetime | None
    viewed: datetime | None
    priority: int
    failures: int

    @classmethod
    def of(cls, known: Watched) -> Self:
        return cls(
            source=known.item.source,
            key=known.item.key,
            fields=None if known.fields is None else dict(known.fields),
            checked=time_of(known.checked_at_ms),
            changed=time_of(known.changed_at_ms or None),
            viewed=time_of(known.viewed_at_ms or None),
            priority=known.priority,
            failures=known.failures,
        )


class WatchedPageOut(ResponseModel):
    """A page of items, by key."""

    items: list[WatchedOut]
    next_after: str | None = Field(description="null: this is the last page.")


class ObservationOut(ResponseModel):
    """What a source said from a time on."""

    at: datetime | None
    before: dict[str, Value] | None = Field(description="null: nothing was known.")
    fields: dict[str, Value]

    @classmethod
    def of(cls, seen: Observation) -> Self:
        before = None if seen.before is None else dict(seen.before)
        return cls(at=time_of(seen.at_ms), before=before, fields=dict(seen.fields))


class ObservationsOut(ResponseModel):
    """What was observed of an item, newest first."""

    observations: list[ObservationOut]
