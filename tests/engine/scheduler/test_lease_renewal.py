from __future__ import annotations

import pytest

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.scheduler.lease_renewal import KEPT_MARGIN_MS, RUN_LEASE_MS, LeaseRenewal
from tempogram.engine.scheduler.run import Run
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tests.fakes import START_MS, Clock


class World:
    """One process with runs, and a database that has their rows."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.runs = [run("a"), run("b")]
        self.begins: Run | None = None
        self.kept = {"a", "b"}
        self.until_ms: list[int] = []
        self.is_away = False
        self.renewal = LeaseRenewal(self._keep, lambda: list(self.runs), clock=self.clock)

    def cancelled(self) -> list[str]:
        return [each.run_id for each in self.runs if each.is_cancelled]

    async def _keep(self, until_ms: int) -> frozenset[str]:
        if self.is_away:
            raise LedgerError("the database is away")
        self.until_ms.append(until_ms)
        if self.begins is not None:
            self.runs.append(self.begins)
        return frozenset(self.kept)


def run(run_id: str) -> Run:
    return Run(Task(name=run_id, times=Every(60_000), work=print), run_id, START_MS)


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_leases_of_the_runs_are_renewed(world: World) -> None:
    assert await world.renewal.renew()

    assert world.until_ms == [START_MS + RUN_LEASE_MS]
    assert world.cancelled() == []


async def test_the_database_is_not_asked_while_nothing_runs(world: World) -> None:
    world.runs = []

    assert await world.renewal.renew()

    assert world.until_ms == []


async def test_a_run_that_another_process_has_taken_is_cancelled(world: World) -> None:
    world.kept = {"a"}

    await world.renewal.renew()

    assert world.cancelled() == ["b"]


async def test_a_run_that_begins_while_the_database_is_asked_goes_on(world: World) -> None:
    world.begins = run("c")

    await world.renewal.renew()

    assert world.cancelled() == []


async def test_runs_are_cancelled_shortly_before_they_count_as_lost(world: World) -> None:
    await world.renewal.renew()
    world.is_away = True
    world.clock.advance(RUN_LEASE_MS - KEPT_MARGIN_MS - 1)

    assert not await world.renewal.renew()
    assert world.cancelled() == []
    world.clock.advance(1)
    assert not await world.renewal.renew()
    assert world.cancelled() == ["a", "b"]
