from __future__ import annotations

import asyncio

import pytest

from tempogram.bot.runtime.loops import Loops
from tests.engine.desk import turns


class Recoverer:
    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.rounds = 0

    async def run(self) -> None:
        while True:
            await self.called.wait()
            self.called.clear()
            self.rounds += 1


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def test_a_loop_is_silent_since_it_last_went_on(watch: Watch) -> None:
    loops, recoverer = Loops(watch), Recoverer()
    (task,) = loops.start(recoverer.run())
    await turns()
    watch.now += 30
    assert loops.silent_s() == {"recoverer": 30}

    recoverer.called.set()
    await turns()

    assert (loops.silent_s(), recoverer.rounds) == ({"recoverer": 0}, 1)
    task.cancel()


async def test_a_loop_that_has_ended_is_named(watch: Watch) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError("broken")

    loops = Loops(watch)
    (task,) = loops.start(fail())
    assert (loops.alive, loops.ended) == (True, frozenset())
    await asyncio.wait((task,))

    assert (loops.alive, loops.ended) == (False, frozenset({"fail"}))
    assert isinstance(task.exception(), OSError)


async def test_a_loop_may_be_cancelled_before_it_begins(watch: Watch) -> None:
    recoverer = Recoverer()
    (task,) = Loops(watch).start(recoverer.run())

    task.cancel()
    await asyncio.wait((task,))

    assert (task.cancelled(), recoverer.rounds) == (True, 0)


async def test_a_loop_cleans_up_when_it_is_cancelled_and_catches_its_own_time_limit(watch: Watch) -> None:
    seen: list[str] = []
    is_over = asyncio.Event()

    async def careful() -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")
            is_over.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    (task,) = Loops(watch).start(careful())
    await is_over.wait()
    task.cancel()
    await asyncio.wait((task,))

    assert seen == ["timeout", "cleaned up"]
    assert task.cancelled()
