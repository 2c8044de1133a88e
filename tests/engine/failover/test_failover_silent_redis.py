"""Several workers at once, on a clock that jumps from one wake-up to the next, while Redis answers none of them.

In the other tests processes act one after the other; here one that waits for an answer keeps no other waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Sequence
from typing import Any

import pytest

from tempogram.engine.failover.epoch_watcher import WATCH_S
from tempogram.engine.failover.leader import PROBE_S
from tempogram.engine.model.errors import BrokerError, BrokerUnavailable, LedgerError
from tempogram.engine.ports import LeaseSource
from tests.engine.failover.fake_processes import FakeProcess, World

ANSWER_MS = 5_000
"""How long a question waits for an answer that never comes."""

LONG_MS = 120_000


class Time:
    """Wakes sleepers in their order, and puts the clock to when each wanted to."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []

    async def sleep(self, ms: int) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self._clock() + ms, id(woken), woken))
        await woken.wait()

    async def go_on(self) -> None:
        """Let each process do what it does now, and go to the next wake-up."""
        for _ in range(30):
            await asyncio.sleep(0)
        at_ms, _, woken = heapq.heappop(self._sleepers)
        self._clock.advance(max(0, at_ms - self._clock()))
        woken.set()


class SilentProcess(FakeProcess):
    """A worker with the loops of a real one, to which Redis may fall silent."""

    def __init__(self, world: World, name: str, time: Time) -> None:
        super().__init__(world, name)
        self._time = time
        self._is_cut_off = False
        self._ask: Any = self.broker.probe
        self.broker.probe = self._probe  # type: ignore[method-assign]

    def cut_off(self) -> None:
        """Have every question wait; it notices only when it asks."""
        self._is_cut_off = True

    async def run(self, *, first_ms: int, notices_ms: int) -> None:
        """Keep from ``first_ms`` on; a lease that waits since before it was cut off fails at ``notices_ms``."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._keep(first_ms))
            loops.create_task(self._watch())
            loops.create_task(self._lease(notices_ms))

    async def _probe(self) -> None:
        if self._is_cut_off:
            await self._time.sleep(ANSWER_MS)
            self.world.cut_from_redis.add(self.name)
        await self._ask()

    async def _keep(self, first_ms: int) -> None:
        await self._time.sleep(first_ms)
        while True:
            await self.step()
            await self._time.sleep(round(PROBE_S * 1_000))

    async def _watch(self) -> None:
        while True:
            await self.look()
            await self._time.sleep(round(WATCH_S * 1_000))

    async def _lease(self, notices_ms: int) -> None:
        await self._time.sleep(notices_ms)
        with contextlib.suppress(BrokerError, BrokerUnavailable, LedgerError):
            await self._probe()


@pytest.mark.parametrize(
    ("first_ms", "notice_ms"),
    [
        ([0, 700], [0, 17_000]),
        ([0, 900, 1_700], [0, 9_000, 23_000]),
        ([0, 500, 1_100, 1_900], [0, 6_000, 14_000, 30_000]),
        ([0, 500, 1_000, 1_500], [0, 0, 0, 0]),
    ],
)
async def test_one_process_sends_for_all_however_late_the_others_notice_a_silent_redis(
    first_ms: Sequence[int], notice_ms: Sequence[int]
) -> None:
    """They handed the lead round for ever: each found that another had had it a moment ago."""
    world = World()
    time = Time(world)
    workers = [SilentProcess(world, f"worker {number}", time) for number in range(len(first_ms))]
    began_ms = world.clock()
    cut_ms = 20_000
    running = [
        asyncio.create_task(worker.run(first_ms=first, notices_ms=cut_ms + notices))
        for worker, first, notices in zip(workers, first_ms, notice_ms, strict=True)
    ]
    while world.clock() < began_ms + cut_ms:
        await time.go_on()
    for worker in workers:
        worker.cut_off()

    while world.source is LeaseSource.REDIS and world.clock() < began_ms + cut_ms + LONG_MS:
        await time.go_on()
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    assert world.source is LeaseSource.LEADER
