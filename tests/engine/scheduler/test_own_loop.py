from __future__ import annotations

import asyncio
import threading

import pytest

from tempogram.engine.scheduler.own_loop import OwnLoop


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
