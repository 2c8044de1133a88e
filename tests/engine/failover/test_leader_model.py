"""Processes that die, are cut off, lose the lead at any point, and are of two versions.

Two sources never lease at once, nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Done, Lease, Settlement, Status
from tempogram.engine.ports import Source
from tests.engine.failover.several import LEASE_MS, Died, FakeProcess, World
from tests.fakes import outgoing

NAMES = ("a", "b", "c")
WHO = st.sampled_from(NAMES)


@dataclass
class Given:
    source: str
    lease: Lease
    to: FakeProcess
    is_over: bool = False


class Processes(RuleBasedStateMachine):
    """What a process does in between is one rule each; it dies in the middle when the fuse has burnt."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.given: list[Given] = []
        self.count = self.born = 0
        self.processes = {name: self.new(name) for name in NAMES}

    def new(self, place: str, schema: int = SCHEMA) -> FakeProcess:
        self.born += 1
        return FakeProcess(self.world, f"{place}{self.born}", schema=schema)

    def run(self, who: str, what: Coroutine[Any, Any, Any]) -> Any:
        """Let a process do something; if it dies of it, another takes its place."""
        try:
            with capture_logs():
                return self.loop.run_until_complete(what)
        except Died:
            self.replace(who)
            return None

    def replace(self, who: str, schema: int | None = None) -> None:
        self.processes[who].die()
        self.processes[who] = self.new(who, self.processes[who].redis.schema if schema is None else schema)

    @rule(ms=st.sampled_from([50, 300, 1_000, 2_500, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule(who=WHO)
    def look(self, who: str) -> None:
        self.run(who, self.processes[who].look())

    @rule(who=WHO)
    def step(self, who: str) -> None:
        self.run(who, self.processes[who].step())

    @rule(ms=st.sampled_from([1_000, 4_000, 12_000]))
    def all_go_on(self, ms: int) -> None:
        for _ in range(0, ms, 1_000):
            for who in NAMES:
                self.look(who)
                self.step(who)
                self.lease(who)
            self.world.clock.advance(1_000)

    @rule(calls=st.integers(0, 30))
    def light_the_fuse(self, calls: int) -> None:
        self.world.fuse = calls

    @rule()
    def lose_the_lead(self) -> None:
        self.world.leader = ""

    @rule(who=WHO)
    def die(self, who: str) -> None:
        self.replace(who)

    @rule(who=WHO, schema=st.sampled_from([SCHEMA, SCHEMA + 1]))
    def be_replaced_by_another_version(self, who: str, schema: int) -> None:
        self.replace(who, schema)

    @rule(who=WHO)
    def lose_or_find_the_database(self, who: str) -> None:
        self.world.cut_from_database ^= {self.processes[who].name}
        if self.world.leader == self.processes[who].name:
            self.world.leader = ""

    @rule(who=WHO)
    def lose_or_find_redis(self, who: str) -> None:
        self.world.cut_from_redis ^= {self.processes[who].name}

    @rule()
    def empty_redis(self) -> None:
        self.world.schedules.clear()

    @rule()
    def all_lose_redis(self) -> None:
        self.world.cut_from_redis = {each.name for each in self.processes.values()}

    @rule(who=WHO)
    def split(self, who: str) -> None:
        """Leave one with Redis alone, and the others with the database alone."""
        name = self.processes[who].name
        self.world.cut_from_database = {name}
        self.world.cut_from_redis = {each.name for each in self.processes.values()} - {name}
        if self.world.leader == name:
            self.world.leader = ""

    @rule()
    def all_find_everything(self) -> None:
        self.world.cut_from_database.clear()
        self.world.cut_from_redis.clear()

    @rule(who=WHO)
    def accept(self, who: str) -> None:
        self.count += 1
        self.run(who, self.processes[who].accept(outgoing(f"{self.count:05}", chat_id=self.count)))

    @rule(who=WHO)
    def lease(self, who: str) -> None:
        self.accept(who)
        process = self.processes[who]
        source = f"redis of form {process.redis.schema}" if self.of_redis(process) else process.name
        leases = self.run(who, process.lease(2)) or []
        now_ms = self.world.clock()
        good = [each for each in self.given if not each.is_over and each.lease.expires_at_ms > now_ms]
        for lease in leases:
            assert lease.expires_at_ms <= now_ms + LEASE_MS
            assert {each.source for each in good} <= {source}, f"{source} leases while {good} is good"
            self.given.append(Given(source, lease, process))

    @staticmethod
    def of_redis(process: FakeProcess) -> bool:
        return process.broker._epoch is None or process.broker._epoch.source is Source.REDIS

    @rule()
    def end_all(self) -> None:
        """Let everything that is leased end, as it does in a moment."""
        for each in self.given:
            if each.is_over or each.lease.expires_at_ms <= self.world.clock():
                continue
            each.is_over = True
            self.world.ledger.statuses[each.lease.message.id] = Status.SENT
            place = each.to.name[0]
            self.run(place, self.settled(each))

    async def settled(self, given: Given) -> None:
        with suppress(BrokerUnavailable):  # the ledger knows
            await given.to.broker.settle([Settlement(given.lease, Done(), 0)])

    def teardown(self) -> None:
        """Give everything back, and see that all that was accepted is scheduled somewhere."""
        if not hasattr(self, "world"):
            return
        self.world.fuse = None
        self.world.cut_from_database.clear()
        self.world.cut_from_redis.clear()
        if self.world.schema > SCHEMA:
            self.replace("a", self.world.schema)
        for _ in range(40):
            for who in NAMES:
                self.look(who)
                self.step(who)
            self.world.clock.advance(1_000)
        (sender, *_) = [who for who, each in self.processes.items() if each.redis.schema == self.world.schema]
        self.look(sender)
        waiting = [each for each, status in self.world.ledger.statuses.items() if status is Status.QUEUED]
        for start in range(0, len(waiting), 50):
            known = self.run(sender, self.processes[sender].broker.knows(waiting[start : start + 50]))
            assert known
            assert all(known)
        assert self.world.source is Source.REDIS
        self.loop.close()


TestProcesses = pytest.mark.filterwarnings("default")(Processes.TestCase)
Processes.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
