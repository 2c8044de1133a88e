"""A bounded number of handlers runs at once, shared out by bot, and those of one key in their order."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.bot.updates.handler_pool import LAST_CALLS_S, HandlerPool, Job
from tempogram.bot.updates.handler_run import HandlerRun
from tests.bot.updates.timers import HandTimers
from tests.engine.desk import turns

BUSY, OTHER = 1, 2


class House:
    """A pool, and jobs that do what a test says."""

    def __init__(self, *, size: int = 8, **options: Any) -> None:
        self.timers = HandTimers()
        usual: dict[str, Any] = {"waiting_max": 1_000, "apart_s": 0, "timers": self.timers}
        self.pool = HandlerPool(size=size, **usual | options)
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.running: set[str] = set()
        self._gates: dict[str, asyncio.Event] = {}
        self._steps: dict[str, asyncio.Event] = {}
        self._calling: set[str] = set()

    def submit(self, name: str, *, bot_id: int = BUSY, key: str | None = None, **how: Any) -> None:
        """Submit a job that runs until ``end``; without a key it waits for no other."""

        async def run(run: HandlerRun) -> None:
            self.begun.append(name)
            self.running.add(name)
            try:
                await self._run(name, run)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self.running.discard(name)

        self._gates[name], self._steps[name] = asyncio.Event(), asyncio.Event()
        self.pool.submit(Job(bot_id, key or name, run, **how))

    async def _run(self, name: str, run: HandlerRun) -> None:
        await self._steps[name].wait()
        if name in self._calling:
            self.running.discard(name)
            with run.waiting_for_queue():
                await self._gates[name].wait()
            self._gates[name].clear()
            self.running.add(name)
            await self._gates[name].wait()

    async def call(self, *names: str) -> None:
        """Let jobs call, and wait for the queue."""
        for name in names:
            self._calling.add(name)
            self._steps[name].set()
        await self.timers.settle()

    async def end(self, *names: str) -> None:
        """Let jobs end; one whose call waits is answered, and runs on."""
        for name in names:
            self._gates[name].set()
            self._steps[name].set()
        await self.timers.settle()

    def count(self, start: str) -> int:
        return sum(name.startswith(start) for name in self.running)


@pytest.fixture
async def house() -> House:
    return House()


# Places


async def test_no_more_jobs_run_than_the_pools_size() -> None:
    house = House(size=3)
    names = [f"job {number}" for number in range(10)]
    for number, name in enumerate(names):
        house.submit(name, bot_id=number)
    await house.timers.settle()

    at_first = set(house.running)
    await house.end(*names)
    await house.pool.drain()

    assert len(at_first) == 3
    assert house.begun == names


async def test_another_bots_handler_starts_at_once_beside_210_that_sleep() -> None:
    house = House(size=200)
    for number in range(210):
        house.submit(f"sleeping {number}", bot_id=BUSY)
    await house.timers.settle()

    house.submit("ping", bot_id=OTHER)
    await house.timers.settle()

    assert house.count("sleeping") == 150
    assert "ping" in house.running


async def test_a_button_gets_through_though_its_bot_has_its_share() -> None:
    """The 150 may wait for just that press."""
    house = House(size=200)
    for number in range(210):
        house.submit(f"waiting for a press {number}")
    await house.timers.settle()

    house.submit("press", is_query=True)
    await house.timers.settle()

    assert "press" in house.running


async def test_the_next_place_goes_to_the_bot_that_holds_the_fewest() -> None:
    house = House(size=2)
    for name, bot_id in [("a1", 1), ("b1", 2), ("a2", 1), ("a3", 1), ("c1", 3), ("b2", 2)]:
        house.submit(name, bot_id=bot_id)
    await house.timers.settle()

    await house.end("a1", "b1", "a2", "a3", "c1", "b2")

    assert house.begun == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_job_that_raises_gives_its_place_to_the_next(house: House) -> None:
    async def fail(_: HandlerRun) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        house.pool.submit(Job(BUSY, "key", fail))
        house.submit("next", key="key")
        await house.timers.settle()

    assert [each["event"] for each in logs] == ["job_failed"]
    assert house.running == {"next"}
    await house.end("next")
    assert house.pool.counts() == {"running": 0, "waiting": 0, "waiting_for_queue": 0}


async def test_a_job_starts_with_no_context_variable_of_the_job_that_ended_before_it() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    pool, seen = HandlerPool(size=1, waiting_max=9, apart_s=0), list[str]()

    async def look(run: HandlerRun) -> None:
        seen.append(variable.get())
        variable.set("set by a handler")
        with run.waiting_for_queue():
            await turns()

    for number in range(3):
        pool.submit(Job(BUSY, number, look))
    await pool.drain()

    assert seen == ["unset"] * 3


async def test_a_users_next_message_gets_through_though_its_bot_has_its_share() -> None:
    """The handler of the message before may wait for just that."""
    house = House(size=200)
    for number in range(210):
        house.submit(f"waiting for a reply {number}", key=f"user {number}")
    await house.timers.settle()

    house.submit("reply", key="user 3")
    await house.timers.advance(1)

    assert "reply" in house.running


# Order


async def test_jobs_of_one_key_start_in_order_when_the_one_before_has_ended(house: House) -> None:
    for name in ("a1", "a2", "b1"):
        house.submit(name, key=name[0])
    await house.timers.settle()

    at_first = set(house.running)
    await house.end("a1")
    then = set(house.running)

    assert at_first == {"a1", "b1"}
    assert then == {"a2", "b1"}


async def test_a_job_starts_when_the_one_before_it_has_had_its_head_start(house: House) -> None:
    for name in ("slow", "cancel", "third"):
        house.submit(name, key="user")

    started = []
    for _ in range(4):
        await house.timers.advance(0.5)
        started.append(list(house.begun))

    assert started == [["slow"], ["slow", "cancel"], ["slow", "cancel"], ["slow", "cancel", "third"]]


async def test_the_time_for_which_a_call_waits_is_no_head_start(house: House) -> None:
    house.submit("speaking", key="user")
    house.submit("next", key="user")
    await house.timers.advance(0.6)

    await house.call("speaking")
    await house.timers.advance(60)
    await house.end("speaking")
    while_it_waited = list(house.begun)
    await house.timers.advance(0.4)

    assert while_it_waited == ["speaking"]
    assert house.begun == ["speaking", "next"]


async def test_without_a_head_start_a_job_waits_until_the_one_before_it_has_ended() -> None:
    house = House(head_start_s=None)
    for name in ("first", "second"):
        house.submit(name, key="chat")

    await house.timers.advance(86_400)
    for_a_day = list(house.begun)
    await house.end("first")

    assert for_a_day == ["first"]
    assert house.begun == ["first", "second"]


async def test_a_query_waits_for_none_and_the_next_message_waits_for_it(house: House) -> None:
    house.submit("message", key="user")
    house.submit("press", key="user", is_query=True)
    house.submit("next message", key="user")
    await house.timers.settle()

    at_once = set(house.running)
    await house.end("message")
    then = set(house.running)
    await house.end("press")

    assert (at_once, then, house.running) == ({"message", "press"}, {"press"}, {"next message"})


async def test_the_items_of_an_album_run_at_once_for_the_first_may_wait_for_the_others(house: House) -> None:
    house.submit("text", key="user")
    for name in ("a1", "a2"):
        house.submit(name, key="user", album="a")
    house.submit("next", key="user")
    await house.timers.settle()
    await house.end("text")
    at_once = set(house.running)

    await house.end("a1")
    await house.end("a2")

    assert (at_once, house.running) == ({"a1", "a2"}, {"next"})


async def test_an_idle_key_takes_new_jobs(house: House) -> None:
    for name in ("first", "second"):
        house.submit(name, key="user")
        await house.timers.settle()
        await house.end(name)

    assert house.begun == ["first", "second"]


# The queue


async def test_a_handler_whose_call_waits_for_the_queue_holds_no_place() -> None:
    house = House(size=1)
    for number in range(20):
        house.submit(f"calling {number}")
        await house.timers.settle()
        await house.call(f"calling {number}")
    house.submit("next")
    await house.timers.settle()

    assert house.running == {"next"}
    assert house.pool.counts() == {"running": 1, "waiting": 0, "waiting_for_queue": 20}


async def test_a_handler_that_has_a_lock_goes_on_though_those_that_wait_for_it_have_all_places(house: House) -> None:
    house.submit("with the lock")
    await house.timers.settle()
    await house.call("with the lock")
    for number in range(10):
        house.submit(f"waiting for the lock {number}")
    await house.timers.settle()

    await house.end("with the lock")

    assert house.count("waiting for the lock") == 6
    assert "with the lock" in house.running
    assert house.pool.counts()["running"] == 7


async def test_handlers_that_go_on_beyond_the_places_take_none_of_another_bots() -> None:
    house = House(size=8)
    names = [f"sleeping {number}" for number in range(40)]
    for name in names:
        house.submit(name, bot_id=BUSY)
        await house.timers.settle()
        await house.call(name)
    await house.end(*names)
    house.submit("no more", bot_id=BUSY)
    house.submit("ping", bot_id=OTHER)
    await house.timers.settle()

    at_first = house.count("sleeping"), set(house.running) - set(names)
    await house.end(*names)

    assert at_first == (40, {"ping"})
    assert house.running == {"no more", "ping"}


async def test_the_replies_to_handlers_that_went_on_beyond_the_places_all_start() -> None:
    house = House(size=16)
    for number in range(40):
        house.submit(f"asking {number}", key=f"user {number}")
        await house.timers.settle()
        await house.call(f"asking {number}")
    await house.end(*(f"asking {number}" for number in range(40)))
    for number in range(40):
        house.submit(f"reply {number}", key=f"user {number}")
    await house.timers.advance(1)

    for number in range(40):
        await house.end(f"reply {number}", f"asking {number}")

    assert house.begun[40:] == [f"reply {number}" for number in range(40)]
    assert house.pool.counts() == {"running": 0, "waiting": 0, "waiting_for_queue": 0}


async def test_full_groups_leave_room_to_the_other_chats_of_their_bot() -> None:
    house = House(unended_max=80)
    names = [f"group {group}, {number}" for group in range(5) for number in range(40)]
    for name in names:
        house.submit(name, chat_id=-int(name[6]) - 1)
        await house.timers.settle()
        if name in house.running:
            await house.call(name)
    house.submit("private", chat_id=1)
    await house.timers.settle()

    at_first, under_way = set(house.running), house.pool.counts()["waiting_for_queue"]
    for name in names:
        await house.end(name)
        await house.end(name)

    assert at_first == {"private"}
    assert 5 <= under_way <= 40
    assert set(names) < set(house.begun)


async def test_handlers_that_have_not_ended_are_bounded_and_other_bots_still_start() -> None:
    house = House(size=4, unended_max=8)
    for number in range(20):
        house.submit(f"calling {number}", bot_id=BUSY)
        await house.timers.settle()
        if f"calling {number}" in house.running:
            await house.call(f"calling {number}")
    house.submit("ping", bot_id=OTHER)
    await house.timers.settle()

    assert house.pool.counts() == {"running": 1, "waiting": 14, "waiting_for_queue": 6}
    assert house.running == {"ping"}


async def test_a_handler_with_several_calls_at_once_has_its_place_back_after_the_last() -> None:
    house, answered = House(size=2), [asyncio.Event(), asyncio.Event()]
    held: list[bool] = []

    async def call(run: HandlerRun, number: int) -> None:
        with run.waiting_for_queue():
            await answered[number].wait()
        held.append(run.holds_place)

    async def gather(run: HandlerRun) -> None:
        await asyncio.gather(call(run, 0), call(run, 1))

    house.pool.submit(Job(BUSY, "key", gather))
    for event in answered:
        await house.timers.settle()
        event.set()
    await house.pool.drain()

    assert held == [False, True]
    assert house.pool.counts()["running"] == 0


async def test_a_call_that_outlives_its_handler_asks_for_no_place() -> None:
    house, answered = House(size=1), asyncio.Event()
    tasks = []

    async def call(run: HandlerRun) -> None:
        with run.waiting_for_queue():
            await answered.wait()

    async def start_a_task(run: HandlerRun) -> None:
        tasks.append(asyncio.create_task(call(run)))
        await asyncio.sleep(0)

    house.pool.submit(Job(BUSY, "key", start_a_task))
    await house.pool.drain()
    house.submit("next")
    await house.timers.settle()
    answered.set()
    await asyncio.gather(*tasks)

    assert house.pool.counts() == {"running": 1, "waiting": 0, "waiting_for_queue": 0}


async def test_a_call_that_is_answered_while_all_places_are_taken_returns_though_its_handler_ends_then() -> None:
    house, answered, ends, tasks = House(size=1), asyncio.Event(), asyncio.Event(), list[asyncio.Task[None]]()

    async def call(run: HandlerRun) -> None:
        with run.waiting_for_queue():
            await answered.wait()

    async def start_a_task(run: HandlerRun) -> None:
        tasks.append(asyncio.create_task(call(run)))
        await ends.wait()

    house.pool.submit(Job(BUSY, "key", start_a_task))
    house.submit("next")
    await house.timers.settle()
    for event in (answered, ends):
        event.set()
        await house.timers.settle()
    await house.end("next")

    assert house.begun == ["next"]
    assert [task.done() for task in tasks] == [True]
    assert house.pool.counts()["running"] == 0


# Bounds, spacing and the end


async def test_a_pool_is_full_by_its_waiting_jobs_only() -> None:
    house = House(size=1, waiting_max=1)
    house.submit("a")
    await house.timers.settle()
    before = house.pool.is_full(BUSY)
    house.submit("b")

    full = house.pool.is_full(BUSY)
    await house.end("a")

    assert (before, full, house.pool.is_full(BUSY)) == (False, True, False)


async def test_a_pool_that_is_full_for_one_bot_takes_jobs_of_another() -> None:
    house = House(size=1, waiting_max=16)
    while not house.pool.is_full(BUSY):
        house.submit(f"job {len(house._gates)}")

    assert not house.pool.is_full(OTHER)


async def test_the_starts_of_many_jobs_are_spaced_so_that_other_tasks_run_in_between() -> None:
    house = House(apart_s=0.002)
    for number in range(3):
        house.submit(f"job {number}")

    started = []
    for _ in range(3):
        await turns()
        started.append(len(house.begun))
        await house.timers.advance(0.002)

    assert started == [1, 2, 3]


async def test_a_stop_ends_those_that_wait_for_the_queue_and_starts_no_more(house: House) -> None:
    for name in ("waiting", "running"):
        house.submit(name)
    house.submit("behind it", key="waiting")
    await house.timers.settle()
    await house.call("waiting")

    stopping = asyncio.create_task(house.pool.stop())
    await house.timers.advance(LAST_CALLS_S)
    while_one_runs = stopping.done()
    house.submit("too late")
    await house.end("running")
    await stopping

    assert not while_one_runs
    assert house.cancelled == ["waiting"]
    assert house.begun == ["waiting", "running"]


async def test_a_stop_leaves_a_call_that_is_answered_soon_its_answer(house: House) -> None:
    house.submit("calling")
    await house.timers.settle()
    await house.call("calling")

    stopping = asyncio.create_task(house.pool.stop())
    await house.timers.advance(LAST_CALLS_S / 2)
    await house.end("calling")
    await house.end("calling")
    await stopping

    assert house.cancelled == []


async def test_a_cancelled_pool_ends(house: House) -> None:
    before = asyncio.all_tasks()
    house.submit("a")
    house.submit("b")
    await house.timers.settle()

    tasks = asyncio.all_tasks() - before
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
    await house.pool.drain()

    assert sorted(house.cancelled) == ["a", "b"]
