"""A ``Bot`` works in any event loop and thread: its calls run in the loop of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest

from tempogram.bot.telegram.engine_loop import HAS_ENDED
from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Rejected
from tests.bot.calls.test_gateway import Caller, answered, calling
from tests.bot.fakes import BOT_ID, TOKEN, DirectSession
from tests.engine.desk import WITHIN_S

Answer = TypeVar("Answer")


class LoopNotingSession(DirectSession):
    """Notes in which event loop each call is made."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def make_request(self, *args: Any, **options: Any) -> Any:
        self.loops.add(asyncio.get_running_loop())
        return await super().make_request(*args, **options)

    async def close(self) -> None:
        self.loops.add(asyncio.get_running_loop())
        await super().close()


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as caller:
        yield caller


async def in_another_thread(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run a coroutine in an event loop of its own, as a library with a thread does."""
    return await asyncio.wait_for(asyncio.to_thread(lambda: asyncio.run(work())), WITHIN_S)


async def test_a_message_sent_from_the_loop_of_another_thread_is_answered(caller: Caller) -> None:
    caller.desk.transport.answers(answered(text="hello"))

    message = await in_another_thread(caller.send)

    assert message.message_id == 99
    assert caller.desk.ledger.statuses == {caller.ids[0]: Status.SENT}


async def test_a_bot_that_is_made_in_another_thread_sends_through_the_engine(caller: Caller) -> None:
    async def send() -> int:
        return (await Bot(TOKEN, session=DirectSession()).send_message(7, "hello")).message_id

    caller.desk.transport.answers(answered(text="hello"))

    assert await in_another_thread(send) == 99


async def test_what_telegram_refuses_is_raised_in_the_other_thread(caller: Caller) -> None:
    caller.desk.transport.answers(Rejected(400, "Bad Request: chat not found"))

    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await in_another_thread(caller.send)


async def test_direct_calls_downloads_and_the_end_of_a_session_run_in_the_engines_loop_too(caller: Caller) -> None:
    direct = LoopNotingSession()

    async def use() -> list[bytes]:
        bot = Bot(TOKEN, session=direct)
        await bot.get_me()
        content = [chunk async for chunk in bot.session.stream_content("http://telegram/file")]
        await bot.session.close()
        return content

    assert await in_another_thread(use) == [b"a file"]
    assert direct.loops == {asyncio.get_running_loop()}
    assert direct.closed


async def test_a_caller_cancelled_in_another_thread_does_not_cancel_its_message(caller: Caller) -> None:
    await caller.desk.broker.pause(BOT_ID, paused=True)

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await caller.send()

    with pytest.raises(TimeoutError):
        await in_another_thread(give_up)

    assert caller.desk.ledger.statuses == {caller.ids[0]: Status.QUEUED}


def test_a_call_after_the_engines_loop_has_ended_is_refused_at_once() -> None:
    async def make() -> Bot:
        async with calling() as caller:
            assert caller.bot.session is not None
            return caller.bot

    bot = asyncio.run(make())

    with pytest.raises(RuntimeError, match=HAS_ENDED):
        asyncio.run(bot.send_message(7, "hello"))
    asyncio.run(bot.session.close())
