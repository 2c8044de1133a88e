"""What is watched, by which rules, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tempogram.engine.model.errors import EngineError, SettingsError
from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import QuietHours

WATCH = "watch:"
"""How the ``dedup_key`` of a digest begins."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

PHASES = 1 << 20
"""A phase is a number below it: where in its interval an item is due."""

KEY_MAX = 200
"""Characters; it stands in a digest and in commands."""

Value = str | int | float | bool | None

Fields = Mapping[str, Value]
"""What a source says of an item. Empty: there is no such item any more."""


class Preset(StrEnum):
    """Which items are due."""

    SPREAD = "spread"
    """Each once a day, in its own hour of the day, or in one of six spans of four hours."""
    VIEWED = "viewed"
    """The same, of those that were viewed in the last days."""
    ON_DEMAND = "on_demand"
    """What is viewed and was not checked for a day."""
    PRIORITY = "priority"
    """A number each hour, those of the highest priority first, which grows with each view and decays each day."""
    BY_USER = "by_user"
    """As often as the best plan of an active subscriber says."""


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """Something that a source knows by its key: a title, a price, a page."""

    source: str
    key: str

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A chat of a bot."""

    bot_id: int
    chat_id: ChatId


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a subscriber may have.

    Attributes:
        items_max: So many items at once.
        interval_ms: How often each is checked, by the preset ``by_user``.
        priority: Items of a higher one are checked first.
        is_open: A subscriber may choose it; else it is by invitation: an operator gives it.
    """

    name: str
    items_max: int
    interval_ms: int
    priority: int = 0
    is_open: bool = False


SHIPPED_PLANS = (
    Plan(name="standard", items_max=50, interval_ms=DAY_MS),
    Plan(name="free", items_max=10, interval_ms=7 * DAY_MS),
    Plan(name="paid", items_max=100, interval_ms=DAY_MS, priority=1),
)
"""Those of a new database; what an operator changes of them stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """How items are checked, and how their subscribers are notified.

    Attributes:
        slot_ms: An interval is divided into slots of this length, and each item has its own.
        gap_ms: Between the beginnings of two calls of a source; of ``priority``: ``hourly_gap_ms``.
        viewed_ms: How long a view counts, for ``viewed``.
        cache_ms: How old what is known may be, for ``on_demand``.
        hourly_max: So many items an hour, for ``priority``.
        active_ms: How long a subscriber is active after its last message, for ``by_user``.
        plan: Of subscribers that have no plan of their own.
        debounce_ms: From a change to the digest that has it, with all changes between.
    """

    preset: Preset = Preset.SPREAD
    slot_ms: int = HOUR_MS
    gap_ms: int = 500
    viewed_ms: int = 7 * DAY_MS
    cache_ms: int = DAY_MS
    hourly_max: int = 100
    hourly_gap_ms: int = 1_000
    active_ms: int = 30 * DAY_MS
    plan: str = "standard"
    debounce_ms: int = 60_000

    def __post_init__(self) -> None:
        if self.slot_ms <= 0 or DAY_MS % self.slot_ms:
            raise SettingsError(f"a slot has {self.slot_ms} ms; a day must be a whole number of slots")

    @property
    def pause_ms(self) -> int:
        return self.hourly_gap_ms if self.preset is Preset.PRIORITY else self.gap_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An item as it is known.

    Attributes:
        phase: See ``PHASES``.
        viewed_at_ms: 0: never.
        checked_at_ms: When its source last answered, or it was added.
        fields: What its source said then; None: it has not answered yet.
        changed_at_ms: When these became other than before, or known; 0: never.
        attempted_at_ms: When its source was last asked; 0: never.
        failures: How often in a row it did not answer.
    """

    item: Item
    phase: int
    priority: int
    viewed_at_ms: int
    checked_at_ms: int
    changed_at_ms: int = 0
    attempted_at_ms: int = 0
    failures: int = 0
    fields: Fields | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of asking for an item.

    Attributes:
        of: The item as it was known before.
        fields: What its source answered; None: it did not.
        again_at_ms: When it is asked again, if it did not.
    """

    of: Watched
    at_ms: int
    fields: Fields | None = None
    again_at_ms: int = 0

    @property
    def is_change(self) -> bool:
        """Tell whether subscribers are to be notified: the first answer is no change."""
        return self.fields is not None and self.of.fields is not None and dict(self.fields) != dict(self.of.fields)

    @property
    def is_new(self) -> bool:
        """Tell whether it says something that was not known."""
        return self.fields is not None and (self.of.fields is None or self.is_change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a source said of an item from a time on; ``before``: until then, None if nothing was known."""

    at_ms: int
    before: Fields | None
    fields: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """What has become of an item since its subscriber was last notified."""

    item: Item
    before: Fields
    after: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """All changes of which a subscriber is notified in one message.

    Attributes:
        at_ms: When they were put together; with the subscriber it is its name.
    """

    to: Subscriber
    at_ms: int
    changes: tuple[ItemChange, ...]

    @property
    def dedup_key(self) -> str:
        return f"{WATCH}{self.to.chat_id}:{self.at_ms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A subscriber with changes of which it was not notified yet.

    Attributes:
        may_be_written: It is reachable and has not opted out.
        quiet: Its quiet hours in its own day; None: it has none.
    """

    to: Subscriber
    may_be_written: bool
    zone: str | None = None
    quiet: QuietHours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCounts:
    """How much is watched.

    Attributes:
        subscribers: Chats that watch something.
        due: Items that are to be checked now.
        failing: Items for which their source did not answer the last time.
        waiting: Changes of which a subscriber is not notified yet.
        digests: Subscribers that are still to be notified.
        pauses_ms: Between two calls of each source.
    """

    items: int
    subscriptions: int
    subscribers: int
    due: int
    failing: int
    waiting: int
    digests: int
    pauses_ms: Mapping[str, int]


class AskedTooOften(EngineError):
    """Sources were asked at once for a chat as often as they may be in a minute. Nothing was added."""


class WatchesFull(EngineError):
    """A subscriber has as many items as its plan allows. Nothing was added."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            f"this chat watches {plan.items_max:,} items, which is all that the plan {plan.name} allows; "
            "end one with /unwatch first"
        )
        self.plan = plan


class UnknownSource(EngineError):
    """There is no such source. Nothing was added."""


class UnknownPlan(EngineError):
    """There is no such plan. Nothing was changed."""
