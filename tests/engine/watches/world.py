"""A watcher in virtual time: it sleeps by advancing the clock, and asks a source that does as the test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tempogram.engine.model.watches import SHIPPED_PLANS, Item, Preset, Subscriber, Watched, WatchRules
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.services.errors import CallsFull
from tempogram.engine.services.services import CallOptions, ServiceCalls
from tempogram.engine.watches.watcher import Watcher
from tempogram.engine.watches.watches import Watches
from tempogram.storage.database.database import Database
from tempogram.storage.watches.watches import SqlWatchStore
from tests.fakes import Clock

ANNA, BEN = Subscriber(42, 7), Subscriber(42, 8)
EACH_HOUR = WatchRules(preset=Preset.PRIORITY)


@dataclass
class ScriptedSource:
    """Prices that the test sets; ``fails`` tells of the number of a call whether it fails."""

    clock: Clock
    name: str = "prices"
    service: str = "shop"
    operation: str = "item"
    prices: dict[str, Any] = field(default_factory=dict)
    fails: Callable[[int], bool] = lambda _: False
    takes_ms: int = 0
    asked: list[tuple[int, str]] = field(default_factory=list)

    async def fetch(self, key: str) -> dict[str, object]:
        number = len(self.asked)
        self.asked.append((self.clock(), key))
        self.clock.advance(self.takes_ms)
        if self.fails(number):
            raise OSError("the shop is closed")
        return {"price": self.prices.get(key, 1)}


class ScriptedServices(ServiceCalls):
    """Calls at once, up to a number of calls; then it is full."""

    def __init__(self) -> None:
        self.left = 1_000_000

    async def call_with(
        self, options: CallOptions, service: str, operation: str, function: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        if not self.left:
            raise CallsFull(f"too many calls of {service}:{operation} wait")
        self.left -= 1
        return await function(*args, **kwargs)


class World:
    """A store on SQLite, with what uses it."""

    def __init__(self, database: Database, clock: Clock, rules: WatchRules = EACH_HOUR) -> None:
        self.clock, self.rules = clock, rules
        self.store = SqlWatchStore(database)
        self.source, self.services = ScriptedSource(clock), ScriptedServices()
        self.metrics = WatchMetrics()
        self.watcher = Watcher(
            self.store,
            {"prices": self.source},
            self.services,
            rules,
            clock=clock,
            sleep=self._sleep,
            metrics=self.metrics,
        )
        self.watches = Watches(self.store, {"prices": self.source}, self.watcher, rules, clock)

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1_000))

    async def watch(self, *keys: str, to: Subscriber = ANNA) -> None:
        await self.store.ship_plans(SHIPPED_PLANS)
        for key in keys:
            await self.watches.watch(to, Item("prices", key))

    async def run_through(self) -> None:
        """Run until nothing is due."""
        while await self.watcher.run() is not None:
            pass

    async def known(self, key: str) -> Watched:
        known = await self.store.item(Item("prices", key))
        assert known is not None
        return known

    @property
    def pauses(self) -> list[int]:
        """Return the milliseconds between the beginnings of calls."""
        times = [at_ms for at_ms, _ in self.source.asked]
        return [after - before for before, after in pairwise(times)]
