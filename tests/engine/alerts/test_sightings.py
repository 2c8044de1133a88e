from __future__ import annotations

from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.alerts.sightings import Sightings
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.fakes import Clock


async def test_a_process_writes_only_while_it_finds_something_and_once_that_it_does_not() -> None:
    clock, store = Clock(), MemoryAlertStore()
    conditions = Conditions(clock)
    sightings = Sightings(store, ProcessRules(conditions, clock=clock), process="a", check_s=15, clock=clock)
    written: list[bool] = []

    async def write() -> None:
        store._sighted.clear()
        await sightings.write()
        written.append(bool(store._sighted))

    await write()
    conditions.begin(Condition.REDIS_AWAY, "refused")
    await write()
    await write()
    conditions.end(Condition.REDIS_AWAY)
    await write()
    await write()

    assert written == [False, True, True, True, False]
