from __future__ import annotations

import asyncio

import pytest

from tempogram.engine.cache.single_flight import SingleFlight


class Slow:
    """Something that ends when a test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.begun


async def joined(flights: SingleFlight[str], slow: Slow, callers: int) -> list[asyncio.Task[int]]:
    waiting = [asyncio.create_task(flights.join("tea", slow)) for _ in range(callers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return waiting


async def test_callers_of_the_same_have_one_computation() -> None:
    flights, slow = SingleFlight[str](), Slow()
    waiting = await joined(flights, slow, 3)

    slow.may_end.set()

    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert len(flights) == 0


async def test_with_its_last_caller_a_computation_is_cancelled() -> None:
    flights, slow = SingleFlight[str](), Slow()
    first, second = await joined(flights, slow, 2)

    first.cancel()
    await asyncio.wait([first])
    assert slow.cancelled == 0
    second.cancel()
    await asyncio.wait([second])
    await asyncio.sleep(0)

    assert slow.cancelled == 1
    assert "tea" not in flights


async def test_what_is_begun_without_callers_goes_on_when_the_last_one_leaves() -> None:
    flights, slow = SingleFlight[str](), Slow()
    flights.begin("tea", slow)
    (only,) = await joined(flights, slow, 1)

    only.cancel()
    await asyncio.wait([only])

    assert slow.begun == 1
    assert slow.cancelled == 0
    await flights.close()
    assert slow.cancelled == 1


async def test_the_end_of_all_cancels_nothing_that_a_caller_waits_for() -> None:
    flights, slow = SingleFlight[str](), Slow()
    (only,) = await joined(flights, slow, 1)

    await flights.close()
    slow.may_end.set()

    assert await only == 1


async def test_an_error_without_a_caller_is_no_warning() -> None:
    async def fail() -> None:
        raise OSError

    flights = SingleFlight[str]()
    flights.begin("tea", fail)
    for _ in range(5):
        await asyncio.sleep(0)

    assert len(flights) == 0
    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        await flights.join("tea", fail)
