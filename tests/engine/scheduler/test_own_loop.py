from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tempogram.engine.ports.task_store import RunResult
from tempogram.engine.scheduler.own_loop import OwnLoop, in_thread
from tempogram.engine.scheduler.run import Ended, Run
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every

FOREVER = 1_000.0


async def carried_out(work: Callable[[], Any], *, own_loop: OwnLoop | None = None, timeout_ms: int = 60_000) -> Ended:
    task = Task(name="poll", times=Every(60_000), work=work, timeout_ms=timeout_ms)
    return await Run(task, "1", 0, own_loop=own_loop).carry_out()


async def test_a_plain_function_may_run_an_event_loop_of_its_own() -> None:
    async def answer() -> str:
        return threading.current_thread().name

    assert await in_thread("poll", lambda: asyncio.run(answer())) == "task poll"


async def test_a_coroutine_that_a_lambda_returns_runs_where_it_was_declared() -> None:
    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert await in_thread("poll", lambda: where()) is asyncio.get_running_loop()  # noqa: PLW0108


async def test_a_lambda_that_hangs_is_cancelled_where_its_coroutine_runs() -> None:
    ended = await carried_out(lambda: asyncio.sleep(FOREVER), timeout_ms=20)

    assert (ended.result, ended.leftover) == (RunResult.TIMED_OUT, None)


async def test_a_plain_function_that_hangs_goes_on_after_its_time_limit_and_says_so() -> None:
    goes_on = threading.Event()

    ended = await carried_out(lambda: goes_on.wait(), timeout_ms=20)  # noqa: PLW0108

    assert ended.result is RunResult.TIMED_OUT
    assert ended.leftover is not None
    assert not ended.leftover.done()
    goes_on.set()
    assert await ended.leftover


async def test_a_task_that_blocks_its_own_loop_goes_on_after_its_time_limit_and_is_cancelled_after_it() -> None:
    goes_on, own_loop = threading.Event(), OwnLoop("poll")

    async def blocks() -> None:
        goes_on.wait()
        await asyncio.sleep(FOREVER)

    ended = await carried_out(blocks, own_loop=own_loop, timeout_ms=20)
    assert ended.leftover is not None
    assert not ended.leftover.done()
    goes_on.set()
    await asyncio.wait([ended.leftover], timeout=10)
    assert ended.leftover.cancelled()
    own_loop.close()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)])
async def test_an_error_in_a_thread_is_the_error_of_the_run(error: BaseException) -> None:
    def fails() -> None:
        raise error

    ended = await carried_out(fails)

    assert ended.result is RunResult.FAILED
    assert ended.error in {"ValueError: no", "RuntimeError: it raised SystemExit"}


async def test_work_that_was_cancelled_is_done_when_it_has_ended() -> None:
    own_loop, began, goes_on = OwnLoop("rude"), threading.Event(), threading.Event()

    async def blocks() -> None:
        began.set()
        goes_on.wait(10)
        await asyncio.sleep(10)

    work = own_loop.begin(blocks())
    await asyncio.to_thread(began.wait)
    work.cancel()
    await asyncio.wait((work,), timeout=0.1)
    assert not work.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    own_loop.close()


async def test_an_answer_and_an_error_come_back() -> None:
    async def answers() -> int:
        return 7

    async def fails() -> None:
        raise ValueError("no")

    own_loop = OwnLoop("polite")
    assert await own_loop.begin(answers()) == 7
    with pytest.raises(ValueError, match="no"):
        await own_loop.begin(fails())
    own_loop.close()
