"""A shop over HTTP that fails, refuses and is slow, within the limits of a real service; days pass in virtual time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from examples.fake_shop import FakeShop
from tempogram.bot.behaviours.watches.json_api import JsonApi
from tempogram.engine.model.watches import DAY_MS, HOUR_MS, Preset, WatchRules
from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tempogram.storage.database.database import Database
from tests.end_to_end.test_watches import served
from tests.engine.watches.world import ScriptedSource, World
from tests.fakes import Clock

BUDGET = 60
"""Calls in any 24 hours."""

SHOP = {
    "retries": 0,
    "timeout_s": 0.15,
    "deadline_s": 0.15,
    "breaker": {"failures": 0},
    "operations": {"item": {"count": BUDGET, "window_ms": DAY_MS, "idempotent": True}},
}

KEYS = [f"item-{number:02}" for number in range(40)]


@dataclass
class Asked(ScriptedSource):
    """A source over HTTP that notes when it was asked."""

    api: JsonApi = field(default_factory=lambda: JsonApi(url=""))

    async def fetch(self, key: str) -> dict[str, object]:
        self.asked.append((self.clock(), key))
        return await self.api(key)


async def test_a_shop_that_fails_refuses_and_is_slow_costs_neither_an_item_nor_more_than_its_budget(
    database: Database, clock: Clock
) -> None:
    clock.advance(DAY_MS - clock() % DAY_MS)
    shop = FakeShop(fails=0.3, refuses=0.1)
    async with served(shop) as url:
        world = World(database, clock, WatchRules(preset=Preset.SPREAD, slot_ms=DAY_MS))
        source = world.sources["prices"] = Asked(
            clock, api=JsonApi(url=f"{url}/items/{{key}}", fields={"price": "price"})
        )
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        world.start(Services({"shop": service_of("shop", SHOP)}, limiter, clock=clock))
        await world.watch(*KEYS)
        clock.advance(DAY_MS)
        for hour in range(0, 4 * 24, 3):
            shop.slow_s = 0.3 if hour == 3 else 0.0
            await world.run_through()
            clock.advance(3 * HOUR_MS)

    known = [await world.known(key) for key in KEYS]
    times = [at_ms for at_ms, _ in source.asked]
    assert all(each.fields for each in known)
    assert max(Counter(at_ms // DAY_MS for at_ms in times).values()) <= BUDGET
    assert max(sum(at_ms <= other < at_ms + DAY_MS for other in times) for at_ms in times) <= BUDGET
    assert shop.statuses[503] >= 3
    assert shop.statuses[429] >= 3
    assert 5_000 in {after - before for before, after in pairwise(times)}
