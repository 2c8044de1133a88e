"""What subscribers do: they watch items, end that, and view them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.watches import (
    AskedTooOften,
    Item,
    Observation,
    Plan,
    Preset,
    Subscriber,
    UnknownPlan,
    UnknownSource,
    WatchCounts,
    Watched,
    WatchRules,
)
from tempogram.engine.ports.watch_store import Source, WatchStore
from tempogram.engine.resilience.kept_count import KeptCount
from tempogram.engine.watches.watcher import Watcher

PLAN_SHOWN = 32
"""Characters of a plan that there is not: a user may write thousands."""

ASKS_MAX = 10
"""How often a source is asked at once for one chat within a minute. untuned: more than a person reads."""

MINUTE_MS = 60_000


@dataclass(slots=True)
class Watches:
    """See the module. Each method raises ``LedgerError`` if the database refuses.

    Attributes:
        sources: By name.
    """

    store: WatchStore
    sources: Mapping[str, Source]
    watcher: Watcher
    rules: WatchRules
    clock: Clock
    _counts: KeptCount[WatchCounts] = field(init=False, repr=False)
    _minute: int = field(default=0, init=False, repr=False)
    _asks: Counter[Subscriber] = field(default_factory=Counter, init=False, repr=False)

    def __post_init__(self) -> None:
        self._counts = KeptCount(self.counts)

    async def watch(self, to: Subscriber, item: Item) -> bool:
        """Subscribe a chat to an item; return False if it was.

        Raises:
            UnknownSource: There is no such source.
            WatchesFull: It has as many as its plan allows.
        """
        self.check(item)
        return await self.store.subscribe(to, item, self.rules, now_ms=self.clock())

    async def end(self, to: Subscriber, item: Item) -> bool:
        """End a subscription; return False if there is none."""
        return await self.store.unsubscribe(to, item)

    async def of(self, to: Subscriber) -> tuple[list[Watched], int]:
        """Return the first items that a chat watches, and how many it watches."""
        return await self.store.subscriptions(to), await self.store.subscribed(to)

    async def view(self, item: Item, to: Subscriber | None = None) -> Watched | None:
        """Return an item for a person who looks at it; None: no chat watches it.

        Its source is asked if it has never answered; by ``on_demand`` also if what is known is older than the cache
        keeps it. If it does not answer, or the chat has had it asked too often, what is known is returned, and the
        item is due. Without the person's chat it is asked however often.

        Raises:
            UnknownSource: There is no such source.
        """
        self.check(item)
        known = await self.store.view(item, now_ms=self.clock())
        if known is None or not self._is_stale(known):
            return known
        if to is not None and not self._take_ask(to):
            return known
        return await self.watcher.on_demand(known)

    def check_asks(self, to: Subscriber) -> None:
        """Refuse a chat for which sources may not be asked in this minute; raises ``AskedTooOften``."""
        if self._asked(to) >= ASKS_MAX:
            raise AskedTooOften(f"I look up {ASKS_MAX} items a minute for a chat; try again in a minute")

    async def observations(self, item: Item, *, limit: int) -> list[Observation]:
        return await self.store.observations(item, limit=limit)

    async def choose_plan(self, to: Subscriber, name: str) -> Plan:
        """Give a subscriber a plan that it may choose itself.

        Raises:
            UnknownPlan: There is none, or it is by invitation.
        """
        plans = {plan.name: plan for plan in await self.store.plans() if plan.is_open}
        if name not in plans:
            known = ", ".join(plans) or "there is none"
            raise UnknownPlan(f"{name[:PLAN_SHOWN]!r} is no plan that can be chosen; {known}")
        await self.store.give_plan(to, name)
        return plans[name]

    async def counts(self) -> WatchCounts:
        return await self.store.counts(self.rules, self.sources, now_ms=self.clock())

    async def recent_counts(self) -> WatchCounts:
        """Return counts that may be some seconds old, so that however often they are asked for, they cost little."""
        return await self._counts.get()

    def check(self, item: Item) -> None:
        """Refuse an item of no source; raises ``UnknownSource``."""
        if item.source not in self.sources:
            known = ", ".join(self.sources)
            raise UnknownSource(f"there is no source {item.source!r}; declared are {known}")

    def _take_ask(self, to: Subscriber) -> bool:
        if self._asked(to) >= ASKS_MAX:
            return False
        self._asks[to] += 1
        return True

    def _asked(self, to: Subscriber) -> int:
        """Return how often sources were asked for a chat in this minute; the minutes before are forgotten."""
        minute = self.clock() // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._asks.clear()
        return self._asks[to]

    def _is_stale(self, known: Watched) -> bool:
        if known.fields is None:
            return True
        is_old = known.checked_at_ms <= self.clock() - self.rules.cache_ms
        return self.rules.preset is Preset.ON_DEMAND and is_old
