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
from tempogram.engine.ports import LeaseSource
from tests.engine.failover.fake_processes import LEASE_MS, Died, FakeProcess, World
from tests.fakes import outgoing

NAMES = ("a", "b", "c")
NAME = st.sampled_from(NAMES)


@dataclass
class Granted:
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
        self.granted: list[Granted] = []
        self.count = self.born = 0
        self.processes = {name: self.new(name) for name in NAMES}

    def new(self, place: str, schema: int = SCHEMA) -> FakeProcess:
        self.born += 1
        return FakeProcess(self.world, f"{place}{self.born}", schema=schema)

    def run(self, name: str, what: Coroutine[Any, Any, Any]) -> Any:
        """Let a process do something; if it dies of it, another takes its place."""
        try:
            with capture_logs():
                return self.loop.run_until_complete(what)
        except Died:
            self.replace(name)
            return None

    def replace(self, name: str, schema: int | None = None) -> None:
        self.processes[name].die()
        self.processes[name] = self.new(name, self.processes[name].redis.schema if schema is None else schema)

    @rule(ms=st.sampled_from([50, 300, 1_000, 2_500, 6_000]))
    def time_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule(name=NAME)
    def look(self, name: str) -> None:
        self.run(name, self.processes[name].look())

    @rule(name=NAME)
    def step(self, name: str) -> None:
        self.run(name, self.processes[name].step())

    @rule(ms=st.sampled_from([1_000, 4_000, 12_000]))
    def all_go_on(self, ms: int) -> None:
        for _ in range(0, ms, 1_000):
            for name in NAMES:
                self.look(name)
                self.step(name)
                self.lease(name)
            self.world.clock.advance(1_000)

    @rule(calls=st.integers(0, 30))
    def light_the_fuse(self, calls: int) -> None:
        self.world.fuse = calls

    @rule()
    def lose_the_lead(self) -> None:
        self.world.leader = ""

    @rule(name=NAME)
    def die(self, name: str) -> None:
        self.replace(name)

    @rule(name=NAME, schema=st.sampled_from([SCHEMA, SCHEMA + 1]))
    def be_replaced_by_another_version(self, name: str, schema: int) -> None:
        self.replace(name, schema)

    @rule(name=NAME)
    def lose_or_find_the_database(self, name: str) -> None:
        self.world.cut_from_database ^= {self.processes[name].name}
        if self.world.leader == self.processes[name].name:
            self.world.leader = ""

    @rule(name=NAME)
    def lose_or_find_redis(self, name: str) -> None:
        self.world.cut_from_redis ^= {self.processes[name].name}

    @rule()
    def empty_redis(self) -> None:
        self.world.queues.clear()

    @rule()
    def all_lose_redis(self) -> None:
        self.world.cut_from_redis = {each.name for each in self.processes.values()}

    @rule(name=NAME)
    def split(self, name: str) -> None:
        """Leave one with Redis alone, and the others with the database alone."""
        name = self.processes[name].name
        self.world.cut_from_database = {name}
        self.world.cut_from_redis = {each.name for each in self.processes.values()} - {name}
        if self.world.leader == name:
            self.world.leader = ""

    @rule()
    def all_find_everything(self) -> None:
        self.world.cut_from_database.clear()
        self.world.cut_from_redis.clear()

    @rule(name=NAME)
    def accept(self, name: str) -> None:
        self.count += 1
        self.run(name, self.processes[name].accept(outgoing(f"{self.count:05}", chat_id=self.count)))

    @rule(name=NAME)
    def lease(self, name: str) -> None:
        self.accept(name)
        process = self.processes[name]
        source = f"redis of schema {process.redis.schema}" if self.of_redis(process) else process.name
        leases = self.run(name, process.lease(2)) or []
        now_ms = self.world.clock()
        good = [each for each in self.granted if not each.is_over and each.lease.expires_at_ms > now_ms]
        for lease in leases:
            assert lease.expires_at_ms <= now_ms + LEASE_MS
            assert {each.source for each in good} <= {source}, f"{source} leases while {good} is good"
            self.granted.append(Granted(source, lease, process))

    @staticmethod
    def of_redis(process: FakeProcess) -> bool:
        return process.broker._epoch is None or process.broker._epoch.source is LeaseSource.REDIS

    @rule()
    def end_all(self) -> None:
        """Let everything that is leased end, as it does in a moment."""
        for each in self.granted:
            if each.is_over or each.lease.expires_at_ms <= self.world.clock():
                continue
            each.is_over = True
            self.world.ledger.statuses[each.lease.message.id] = Status.SENT
            place = each.to.name[0]
            self.run(place, self.settled(each))

    async def settled(self, granted: Granted) -> None:
        with suppress(BrokerUnavailable):  # the ledger knows
            await granted.to.broker.settle([Settlement(granted.lease, Done(), 0)])

    def teardown(self) -> None:
        """End every outage, and check that a queue has every accepted message."""
        if not hasattr(self, "world"):
            return
        self.world.fuse = None
        self.world.cut_from_database.clear()
        self.world.cut_from_redis.clear()
        if self.world.schema > SCHEMA:
            self.replace("a", self.world.schema)
        for _ in range(40):
            for name in NAMES:
                self.look(name)
                self.step(name)
            self.world.clock.advance(1_000)
        (sender, *_) = [name for name, each in self.processes.items() if each.redis.schema == self.world.schema]
        self.look(sender)
        waiting = [each for each, status in self.world.ledger.statuses.items() if status is Status.QUEUED]
        for start in range(0, len(waiting), 50):
            known = self.run(sender, self.processes[sender].broker.knows(waiting[start : start + 50]))
            assert known
            assert all(known)
        assert self.world.source is LeaseSource.REDIS
        self.loop.close()


TestProcesses = pytest.mark.filterwarnings("default")(Processes.TestCase)
Processes.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
