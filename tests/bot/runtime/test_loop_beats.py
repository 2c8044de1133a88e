from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tempogram.bot.runtime.loop_beats import LoopBeats
from tempogram.bot.runtime.loops import Loops
from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.engine.scheduler.status import TaskStatus, loop_health_of
from tests.engine.desk import turns
from tests.engine.scheduler.memory_beats import MemoryBeats
from tests.fakes import START_MS, Clock


class Recoverer:
    async def run(self) -> None:
        await asyncio.Event().wait()


class Sightings:
    async def run(self) -> None:
        await asyncio.Event().wait()


class Intake(Recoverer):
    async def adopt(self) -> None:
        await asyncio.Event().wait()


class Members:
    processes: frozenset[int] = frozenset()

    async def alive(self) -> frozenset[int]:
        return self.processes


class World:
    """A process whose minutes pass when the test says so."""

    def __init__(self) -> None:
        self.clock, self.store, self.members = Clock(), MemoryBeats(), Members()
        self.loops = Loops(lambda: self.clock() / 1_000)
        self.slept: list[float] = []
        self._naps: asyncio.Queue[None] = asyncio.Queue()
        self.beats = LoopBeats(
            self.loops,
            self.store,
            self.members,
            process=0x1F,
            role="worker",
            clock=self.clock,
            periods_s={"sightings": 300},
            sleep=self._sleep,
        )

    async def passes(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1_000))
        self._naps.put_nowait(None)
        await turns()

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        tasks = self.loops.start(Recoverer().run(), Intake().adopt())
        reporter = asyncio.create_task(self.beats.run())
        try:
            await turns()
            yield tasks
        finally:
            for task in (*tasks, reporter):
                task.cancel()

    def statuses(self) -> dict[str, TaskStatus]:
        return {beat.loop: loop_health_of(beat, self.clock()).status for of in self.store.table.values() for beat in of}

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._naps.get()


@pytest.fixture
def world() -> World:
    return World()


async def test_a_process_reports_its_loops_once_a_minute(world: World) -> None:
    async with world.reporting():
        await world.passes(1)
        await world.passes(60)

    assert world.slept == [1, 60, 60]
    assert world.store.reports == 2
    assert world.store.table["0000001f"][0] == LoopBeat(
        process="0000001f", loop="intake", role="worker", at_ms=START_MS + 61_000, every_ms=60_000
    )


async def test_a_loop_that_ends_is_late_and_then_stalled(world: World) -> None:
    async with world.reporting() as (_, intake):
        await world.passes(1)
        intake.cancel()
        await turns()
        await world.passes(66)
        assert world.statuses() == {"intake": TaskStatus.LATE, "recoverer": TaskStatus.HEALTHY}

        await world.passes(60)
        assert world.statuses()["intake"] is TaskStatus.STALLED


async def test_a_periodic_loop_that_hangs_is_stalled_and_one_that_waits_is_not(world: World) -> None:
    async with world.reporting():
        await world.passes(1)
        await world.passes(120)

        assert world.statuses() == {"intake": TaskStatus.HEALTHY, "recoverer": TaskStatus.STALLED}


async def test_a_periodic_loop_with_a_long_period_is_stalled_after_twice_as_long(world: World) -> None:
    (sightings,) = world.loops.start(Sightings().run())
    async with world.reporting():
        await world.passes(1)
        await world.passes(599)
        assert world.statuses()["sightings"] is TaskStatus.HEALTHY
        await world.passes(60)
        assert world.statuses()["sightings"] is TaskStatus.STALLED
    sightings.cancel()


async def test_a_process_that_cannot_report_is_stalled_after_two_minutes(world: World) -> None:
    async with world.reporting():
        await world.passes(1)
        world.store.is_away = True
        await world.passes(60)
        await world.passes(60.1)

        assert set(world.statuses().values()) == {TaskStatus.STALLED}


async def test_an_outage_of_the_database_ends_no_loop(world: World) -> None:
    async with world.reporting() as tasks:
        world.store.is_away = True
        await world.passes(1)
        assert not any(task.done() for task in tasks)
        world.store.is_away = False
        await world.passes(60)

        assert world.store.reports == 1


async def test_the_loops_of_a_process_that_died_are_deleted_by_another(world: World) -> None:
    dead, other = (LoopBeat(process=name, loop="worker", role="worker", at_ms=1, every_ms=1) for name in ("0a", "0b"))
    world.store.table = {"000000dd": [dead], "000000ee": [other]}
    world.members.processes = frozenset({0xEE, 0x1F})

    async with world.reporting():
        await world.passes(1)

    assert set(world.store.table) == {"000000ee", "0000001f"}


async def test_a_process_that_ends_deletes_what_it_has_reported(world: World) -> None:
    async with world.reporting():
        await world.passes(1)
    await world.beats.end()

    assert world.store.table == {"0000001f": []}
