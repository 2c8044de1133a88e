"""The only process of a ledger: its Redis comes, goes and is emptied, and it dies. Nothing is leased twice or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from structlog.testing import capture_logs

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Done, Lease, Settlement, Status
from tempogram.engine.ports import LeaseSource
from tests.engine.failover.fake_processes import LEASE_MS, FakeProcess, World
from tests.fakes import outgoing

SOON_MS = 3_000
"""More than a step, a rebuild and one window take."""


class Alone(RuleBasedStateMachine):
    """What the process does in between is one rule each."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.is_cut = False
        self.count = self.born = 0
        self.under_way: list[Lease] = []
        self.start()

    def start(self) -> None:
        self.born += 1
        self.process = FakeProcess(self.world, f"process {self.born}", shares_ledger=False)
        self.connect()
        self.run(self.process.look())

    def connect(self) -> None:
        self.world.cut_from_redis = {self.process.name} if self.is_cut else set()

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        with capture_logs():
            return self.loop.run_until_complete(what)

    @rule(ms=st.sampled_from([50, 1_000, 2_500]))
    def time_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule()
    def look(self) -> None:
        self.run(self.process.look())

    @rule()
    def step(self) -> None:
        self.run(self.process.step())

    @rule()
    def lose_or_find_redis(self) -> None:
        self.is_cut = not self.is_cut
        self.connect()

    @rule()
    def empty_redis(self) -> None:
        self.world.queues.clear()

    @rule()
    def accept(self) -> None:
        self.count += 1
        self.run(self.process.accept(outgoing(f"{self.count:05}", chat_id=self.count)))

    @rule()
    def lease(self) -> None:
        self.accept()
        now_ms = self.world.clock()
        self.under_way = [each for each in self.under_way if each.expires_at_ms > now_ms]
        for lease in self.run(self.process.lease(2)):
            message = lease.message
            assert self.world.ledger.statuses[message.id] is Status.QUEUED, "it is sent again"
            assert message.id not in {each.message.id for each in self.under_way}, "it is leased twice"
            self.under_way.append(lease)

    @rule()
    def end_calls(self) -> None:
        """Let each call end: it is recorded, and then settled, if the queue is there."""
        ended, self.under_way = self.under_way, []
        for lease in ended:
            self.world.ledger.statuses[lease.message.id] = Status.SENT
            self.run(self.settled(lease))

    async def settled(self, lease: Lease) -> None:
        with suppress(BrokerUnavailable):
            await self.process.broker.settle([Settlement(lease, Done(), 0)])

    @rule()
    def die(self) -> None:
        """End with all calls, and start anew."""
        self.process.die()
        self.under_way.clear()
        self.start()

    @rule()
    def lose_redis_while_calls_are_under_way(self) -> None:
        self.lease()
        self.is_cut = True
        self.connect()
        for _ in range(2):
            self.look()
            self.step()
            self.world.clock.advance(round(LEASE_MS / 2.5))
            self.lease()

    @rule()
    def without_redis_it_sends_soon(self) -> None:
        self.end_calls()
        self.is_cut = True
        self.connect()
        self.accept()
        self.run(self.process.step())  # a call that never ended is waited for, for as long as its lease
        self.run(self.process.steps(for_ms=SOON_MS))
        assert self.world.source is LeaseSource.LEADER
        self.lease()
        assert self.under_way

    def teardown(self) -> None:
        """Let Redis be back, and check that the queue there has every accepted message."""
        if not hasattr(self, "world"):
            return
        self.end_calls()
        self.is_cut = False
        self.connect()
        self.run(self.process.steps(for_ms=3 * LEASE_MS + SOON_MS))
        waiting = [each for each, status in self.world.ledger.statuses.items() if status is Status.QUEUED]
        for start in range(0, len(waiting), 50):
            assert all(self.run(self.process.broker.knows(waiting[start : start + 50])))
        assert self.world.source is LeaseSource.REDIS
        self.loop.close()


TestAlone = pytest.mark.filterwarnings("default")(Alone.TestCase)
Alone.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
