"""Whatever handlers do, the pool keeps what it promises: order, fairness, its bound, and that no update is lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tempogram.bot.updates.handler_pool import HandlerPool, Job
from tempogram.bot.updates.handler_run import HandlerRun
from tests.bot.updates.timers import HandTimers

SIZE, KEPT, UNENDED = 16, 2, 24
HEAD_START_S = 1.0
BOTS, USERS = 4, 3


@dataclass(eq=False)
class Handling:
    """One update in the model: what it waits for, and how long its handler has run."""

    number: int
    bot_id: int
    key: tuple[int, int]
    is_query: bool
    run: HandlerRun | None = None
    ran_s: float = 0.0
    wants_to_wait: bool = False
    has_called: bool = False
    has_ended: bool = False
    next_step: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_running(self) -> bool:
        return self.run is not None and self.run.holds_place and not self.has_ended

    @property
    def lets_the_next_start(self) -> bool:
        return self.has_ended or self.ran_s >= HEAD_START_S

    async def handle(self, run: HandlerRun) -> None:
        assert self.run is None, "it started twice"
        self.run = run
        while await self._is_to_wait():
            self.has_called = True
            with run.waiting_for_queue():
                await self._step()
        self.has_ended = True

    async def _is_to_wait(self) -> bool:
        await self._step()
        return self.wants_to_wait

    async def _step(self) -> None:
        await self.next_step.wait()
        self.next_step.clear()


class HandlerPoolModel(RuleBasedStateMachine):
    """Updates of some bots and users come, and their handlers run, wait for the queue, and end, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.timers = HandTimers()
        self.pool = HandlerPool(
            size=SIZE, waiting_max=10_000, head_start_s=HEAD_START_S, apart_s=0, unended_max=UNENDED, timers=self.timers
        )
        self.updates: list[Handling] = []
        self.of_key: defaultdict[tuple[int, int], list[Handling]] = defaultdict(list)
        self.not_seen_to_start: set[Handling] = set()

    @rule(bot_id=st.integers(1, BOTS), user=st.integers(1, USERS), is_query=st.booleans(), many=st.integers(1, 20))
    def receive(self, bot_id: int, user: int, is_query: bool, many: int) -> None:  # noqa: FBT001 - hypothesis passes it
        for offset in range(many):
            update = Handling(len(self.updates), bot_id, (bot_id, user + offset % USERS), is_query)
            self.updates.append(update)
            self.of_key[update.key].append(update)
            self.not_seen_to_start.add(update)
            self._in_loop(self._submit(update))

    @rule(data=st.data(), many=st.integers(1, SIZE))
    @precondition(lambda self: self.running)
    def wait_for_the_queue(self, data: st.DataObject, many: int) -> None:
        for _ in range(min(many, len(self.running))):
            self._step(data.draw(st.sampled_from(self.running)), wants_to_wait=True)

    @rule(data=st.data())
    @precondition(lambda self: self.waiting_for_queue)
    def get_an_answer(self, data: st.DataObject) -> None:
        self._step(data.draw(st.sampled_from(self.waiting_for_queue)), wants_to_wait=False)

    @rule(data=st.data(), many=st.integers(1, 8))
    @precondition(lambda self: self.running)
    def end(self, data: st.DataObject, many: int) -> None:
        for _ in range(min(many, len(self.running))):
            self._step(data.draw(st.sampled_from(self.running)), wants_to_wait=False)

    @rule(quarters=st.integers(1, 4))
    def let_time_pass(self, quarters: int) -> None:
        for _ in range(quarters):  # so that one which starts meanwhile does so at the end of a step
            running = self.running
            self._in_loop(self.timers.advance(HEAD_START_S / 4))
            for update in running:
                update.ran_s += HEAD_START_S / 4

    @invariant()
    def no_more_run_than_there_are_places_but_for_those_that_went_on(self) -> None:
        assert sum(not update.has_called for update in self.running) <= SIZE
        assert len(self.unended) <= UNENDED

    @invariant()
    def a_bot_that_runs_none_waits_only_while_as_many_others_run_one_as_places_are_kept(self) -> None:
        running = {update.bot_id for update in self.running}
        unended = {update.bot_id for update in self.unended}
        are_places_taken = len(self.running) >= SIZE and len(running) >= KEPT
        are_all_taken = are_places_taken or len(self.unended) == UNENDED
        assert are_all_taken or {update.bot_id for update in self._ready()} <= unended

    @invariant()
    def what_may_start_has_started_while_half_of_the_places_are_free(self) -> None:
        if 2 * len(self.running) < SIZE and 2 * len(self.unended) < UNENDED:
            assert not list(self._ready())

    @invariant()
    def what_has_its_answer_goes_on(self) -> None:
        assert not list(self._going_on())

    @invariant()
    def updates_of_a_key_start_in_order(self) -> None:
        started = {update for update in self.not_seen_to_start if update.run is not None}
        self.not_seen_to_start -= started
        for update in started:
            of_key = self.of_key[update.key]
            before = of_key[: of_key.index(update)]
            may_start = update.is_query or all(each.lets_the_next_start for each in before)
            assert may_start, "it did not wait for those before it"

    def teardown(self) -> None:
        for _ in range(3 * len(self.updates) + 3):
            for update in self.updates:
                update.wants_to_wait = False
                update.next_step.set()
            self._in_loop(self.timers.advance(HEAD_START_S))
        self._in_loop(asyncio.wait_for(self.pool.drain(), 5))
        assert all(update.has_ended for update in self.updates), "an update was lost"
        assert self.pool.counts() == {"running": 0, "waiting": 0, "waiting_for_queue": 0}
        self.loop.close()

    @property
    def unended(self) -> list[Handling]:
        return [update for update in self.updates if update.run is not None and not update.has_ended]

    @property
    def running(self) -> list[Handling]:
        return [update for update in self.updates if update.is_running]

    @property
    def waiting_for_queue(self) -> list[Handling]:
        return [update for update in self.unended if update.run is not None and update.run.waiting_calls]

    def _going_on(self) -> list[Handling]:
        """Return what has its answer, and waits for a place."""
        return [
            update
            for update in self.unended
            if not update.is_running and update.run is not None and not update.run.waiting_calls
        ]

    def _ready(self) -> list[Handling]:
        """Return what has not started, and has no other of its key before it."""
        ready = []
        for of_key in self.of_key.values():
            is_held_up = False
            for update in of_key:
                if update.run is None and (update.is_query or not is_held_up):
                    ready.append(update)
                is_held_up |= not update.lets_the_next_start
        return ready

    def _step(self, update: Handling, *, wants_to_wait: bool) -> None:
        update.wants_to_wait = wants_to_wait
        update.next_step.set()
        self._in_loop(self.timers.settle())

    async def _submit(self, update: Handling) -> None:
        self.pool.submit(Job(update.bot_id, update.key, update.handle, is_query=update.is_query))
        await self.timers.settle()

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)


TestHandlerPoolModel = HandlerPoolModel.TestCase
TestHandlerPoolModel.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
