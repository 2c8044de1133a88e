"""A handler may run for so long; the time for which its calls wait for the queue is not counted."""

from __future__ import annotations

import asyncio

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message, Update

from tempogram.bot.updates.handler_pool import HandlerPool, Job
from tempogram.bot.updates.handler_run import HandlerRun, HandlerTimeout
from tests.bot.fakes import TOKEN, DirectSession
from tests.bot.updates.timers import HandTimers

TIMEOUT_S = 30.0
UPDATE = Update.model_validate(
    {"update_id": 1, "message": {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}, "text": "hello"}}
)


class Timed:
    """A pool whose handlers may run for 30 s, and how each has ended."""

    def __init__(self) -> None:
        self.timers = HandTimers()
        self.pool = HandlerPool(size=4, waiting_max=9, apart_s=0, timeout_s=TIMEOUT_S, timers=self.timers)
        self.ends: list[object] = []

    def submit(self, handler: object) -> None:
        dispatcher = Dispatcher()
        dispatcher.message.register(handler)  # type: ignore[arg-type]

        async def run(run: HandlerRun) -> None:
            bot = Bot(TOKEN, session=DirectSession())
            try:
                self.ends.append(await run.within_timeout(dispatcher.feed_update(bot, UPDATE, run=run)))
            except HandlerTimeout as error:
                self.ends.append(error)

        self.pool.submit(Job(1, object(), run))


@pytest.fixture
async def timed() -> Timed:
    return Timed()


async def never_ends(_: Message) -> None:
    await asyncio.Event().wait()


async def test_a_handler_that_runs_for_too_long_is_cancelled_and_named(timed: Timed) -> None:
    timed.submit(never_ends)

    await timed.timers.advance(TIMEOUT_S - 1)
    a_second_before = list(timed.ends)
    await timed.timers.advance(1)

    (error,) = timed.ends
    assert a_second_before == []
    assert isinstance(error, HandlerTimeout)
    assert str(error) == f"its handler {__name__}.never_ends ran longer than 30 s"


async def test_a_handler_that_waits_for_the_queue_for_an_hour_is_not_cancelled(timed: Timed) -> None:
    answered = asyncio.Event()

    async def calls(_: Message, run: HandlerRun) -> str:
        with run.waiting_for_queue():
            await answered.wait()
        return "answered"

    timed.submit(calls)
    await timed.timers.advance(3_600)
    answered.set()
    await timed.pool.drain()

    assert timed.ends == ["answered"]


async def test_a_handler_that_cleans_up_after_its_time_ends_as_it_likes(timed: Timed) -> None:
    async def suppresses(_: Message) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cleaned up"
        return "never"

    timed.submit(suppresses)
    await timed.timers.advance(TIMEOUT_S)
    await timed.pool.drain()

    assert timed.ends == ["cleaned up"]


async def test_a_pool_that_stops_cancels_no_handler_that_runs(timed: Timed) -> None:
    go_on = asyncio.Event()

    async def runs(_: Message) -> str:
        await go_on.wait()
        return "ended"

    timed.submit(runs)
    await timed.timers.settle()
    stopping = asyncio.create_task(timed.pool.stop())
    await timed.timers.advance(9)
    go_on.set()
    await stopping

    assert timed.ends == ["ended"]
