"""A watcher in virtual time: it sleeps by advancing the clock, and asks a source that does as the test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tempogram.engine.model.watches import SHIPPED_PLANS, Item, Preset, Subscriber, Watched, WatchRules
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.services.errors import CallOverdue, CallsFull
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
    """Prices that the test sets; ``fails`` tells of the number of a call whether it fails, ``raises`` how."""

    clock: Clock
    name: str = "prices"
    service: str = "shop"
    operation: str = "item"
    prices: dict[str, Any] = field(default_factory=dict)
    fails: Callable[[int], bool] = lambda _: False
    raises: BaseException | None = None
    takes_ms: int = 0
    asked: list[tuple[int, str]] = field(default_factory=list)

    async def fetch(self, key: str) -> dict[str, object]:
        number = len(self.asked)
        self.asked.append((self.clock(), key))
        self.clock.advance(self.takes_ms)
        if self.raises is not None:
            raise self.raises
        if self.fails(number):
            raise OSError("the shop is closed")
        return {"price": self.prices.get(key, 1)}


class ScriptedServices(ServiceCalls):
    """Calls at once, up to a number of calls; then it is full. An item that is ``overdue`` hangs until its deadline."""

    def __init__(self) -> None:
        self.left = 1_000_000
        self.overdue: set[str] = set()

    async def call_with(
        self, options: CallOptions, service: str, operation: str, function: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        if not self.left:
            raise CallsFull(f"too many calls of {service}:{operation} wait")
        self.left -= 1
        answer = await function(*args, **kwargs)
        if self.overdue & set(args):
            raise CallOverdue(f"{service}:{operation} had no answer within 30 s")
        return answer


class World:
    """A store on SQLite, with what uses it; each source that is added is another one."""

    def __init__(self, database: Database, clock: Clock, rules: WatchRules = EACH_HOUR) -> None:
        self.clock, self.rules = clock, rules
        self.store = SqlWatchStore(database)
        self.source, self.services = ScriptedSource(clock), ScriptedServices()
        self.metrics = WatchMetrics()
        self.sources = {"prices": self.source}
        self.start()

    def start(self, services: ServiceCalls | None = None) -> None:
        """Let a process start that knows nothing but what is stored."""
        self.watcher = Watcher(
            self.store,
            self.sources,
            services or self.services,
            self.rules,
            clock=self.clock,
            sleep=self._sleep,
            metrics=self.metrics,
        )
        self.watches = Watches(self.store, self.sources, self.watcher, self.rules, self.clock)

    def add_source(self, name: str) -> ScriptedSource:
        added = self.sources[name] = ScriptedSource(self.clock, name)
        self.start()
        return added

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1_000))

    async def watch(self, *keys: str, to: Subscriber = ANNA, source: str = "prices") -> None:
        await self.store.ship_plans(SHIPPED_PLANS)
        for key in keys:
            await self.watches.watch(to, Item(source, key))

    async def run_through(self, source: str = "prices") -> None:
        """Run as a task does, until nothing is due."""
        while (then := await self.watcher.run(source)) is not None:
            await self._sleep(then.total_seconds())

    async def known(self, key: str) -> Watched:
        known = await self.store.item(Item("prices", key))
        assert known is not None
        return known

    @property
    def pauses(self) -> list[int]:
        """Return the milliseconds between the beginnings of calls."""
        times = [at_ms for at_ms, _ in self.source.asked]
        return [after - before for before, after in pairwise(times)]
