"""Two processes that feed the queue at once: one is frozen before a write, and wakes before a write of the other.

Between the two the broadcast is paused and resumed, or is done and retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import count, product
from typing import Any

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.broadcasts import Broadcast, BroadcastState, Outcome
from tempogram.engine.model.ids import Ids
from tempogram.storage.database.database import Database
from tests.broadcasts import BroadcastWorld
from tests.storage.backends import OnPostgres, OnSqlite

CHATS = range(1, 4)

STEPS_MOST = 12

_NONE = Limit(0, 1_000)
UNLIMITED = Limits(ceiling=_NONE, bot=_NONE, chat=_NONE, group=_NONE)

_numbers = count(2)
"""Of processes, so that no two make the same id."""


class Gate:
    """Stands before each write of a process; it lets through as many as it is opened for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places = asyncio.Semaphore(0)
        self.is_reached = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write_alone(self, *given: Any, **named: Any) -> Any:
        await self._pass()
        return await self._database.write_alone(*given, **named)

    async def write(self, *given: Any, **named: Any) -> Any:
        await self._pass()
        return await self._database.write(*given, **named)

    def open(self, writes: int) -> None:
        for _ in range(writes):
            self._places.release()

    async def _pass(self) -> None:
        if self._places.locked():
            self.is_reached.set()
        await self._places.acquire()


class Process:
    """A feeder that stands still before a write, until it is woken."""

    def __init__(self, world: BroadcastWorld) -> None:
        self._gate = Gate(world.database)
        own = BroadcastWorld(self._gate, clock=world.clock, limits=UNLIMITED)  # type: ignore[arg-type]
        own.ids, own.broker = Ids(process=next(_numbers)), world.broker
        own.process()
        self._feeder, self._world = own.feeder, world
        self._task: asyncio.Task[None] | None = None

    async def freeze_before(self, write: int) -> None:
        """Take steps up to a write, or a few steps if there is nothing to write."""
        self._gate.open(write - 1)
        self._task = asyncio.create_task(self._take_steps())
        reached = asyncio.create_task(self._gate.is_reached.wait())
        await asyncio.wait({reached, self._task}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()

    async def wake(self) -> None:
        self._gate.open(1_000)
        assert self._task is not None
        await self._task

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _take_steps(self) -> None:
        for _ in range(STEPS_MOST):
            if not await self._feeder.step():
                return
            await self._world.send_all(at_most=1)


Change = Callable[[BroadcastWorld, Broadcast], Coroutine[Any, Any, None]]


async def paused_and_resumed(world: BroadcastWorld, broadcast: Broadcast) -> None:
    if (await world.board.get(broadcast.id)).state is BroadcastState.RUNNING:
        await world.board.pause(broadcast.id)
    await world.run_until_idle()
    await world.board.resume(broadcast.id)


async def done_and_retried(world: BroadcastWorld, broadcast: Broadcast) -> None:
    await world.run_until_idle(dead=CHATS)
    await world.board.retry(broadcast.id)


class InterleavingsContract:
    """Each process writes recipients (twice), then again and again a submission, its note and a settlement.

    Attributes:
        frozen_before: Writes of the first one, by their number.
        woken_before: Writes of the second one after the resumption or the retry.
    """

    frozen_before: Sequence[int]
    woken_before: Sequence[int]

    @pytest.fixture
    async def world(self, database: Database) -> BroadcastWorld:
        world = BroadcastWorld(database, limits=UNLIMITED)
        await world.add_chats(CHATS)
        return world

    @pytest.mark.parametrize("change", [paused_and_resumed, done_and_retried])
    async def test_a_process_that_wakes_late_or_is_killed_sends_no_chat_a_second_message(
        self, world: BroadcastWorld, change: Change
    ) -> None:
        for frozen_before, woken_before in product(self.frozen_before, self.woken_before):
            world.sent.clear()
            broadcast = await world.started()
            first, second = Process(world), Process(world)
            await first.freeze_before(frozen_before)
            await change(world, broadcast)
            await second.freeze_before(woken_before)
            await (first.kill() if woken_before % 3 == 0 else first.wake())
            await second.wake()
            await world.run_until_idle()

            case = f"frozen before write {frozen_before}, woken before write {woken_before}"
            assert world.sent == dict.fromkeys(CHATS, 1), case
            ended = await world.board.get(broadcast.id)
            assert (ended.state, ended.outcomes) == (BroadcastState.DONE, {Outcome.SENT: len(CHATS)}), case

    async def test_what_a_pause_took_back_is_settled_once(self, world: BroadcastWorld) -> None:
        for woken_before in self.woken_before:
            world.sent.clear()
            broadcast = await world.started()
            await world.feeder.step()
            await world.board.pause(broadcast.id)
            first, second = Process(world), Process(world)
            await first.freeze_before(1)
            await paused_and_resumed(world, broadcast)
            await second.freeze_before(woken_before)
            await first.wake()
            await second.wake()
            await world.run_until_idle()

            assert world.sent == dict.fromkeys(CHATS, 1), f"woken before write {woken_before}"
            ended = await world.board.get(broadcast.id)
            assert (ended.state, ended.outcomes) == (BroadcastState.DONE, {Outcome.SENT: len(CHATS)})


class TestInterleavingsOnSqlite(OnSqlite, InterleavingsContract):
    frozen_before = range(2, 6)
    woken_before = 2, 4, 5, 6


class TestInterleavingsOnPostgres(OnPostgres, InterleavingsContract):
    frozen_before = 3, 4  # those that have been wrong
    woken_before = 2, 4, 5
