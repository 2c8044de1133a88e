from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tempogram.engine.bulk.batches import batches
from tempogram.engine.model.errors import SettingsError
from tests.virtual_time import in_virtual_time


async def later(count: int, *, each_s: float = 0.0) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(each_s)
        yield number


def test_items_come_in_lists_of_a_size_and_the_rest_last() -> None:
    async def work() -> None:
        assert [batch async for batch in batches(range(7), size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
        assert [batch async for batch in batches(later(4), size=2)] == [[0, 1], [2, 3]]
        assert [batch async for batch in batches(range(0), size=2)] == []

    in_virtual_time(work())


def test_the_pause_is_from_the_end_of_a_body_to_the_next_batch_and_not_after_the_last() -> None:
    async def work() -> None:
        loop, began_s = asyncio.get_running_loop(), []

        async for _ in batches(range(30)):
            began_s.append(round(loop.time(), 3))
            await asyncio.sleep(1)

        assert began_s == [0, 1.1, 2.2]
        assert round(loop.time(), 3) == 3.2

    in_virtual_time(work())


def test_reading_the_next_items_counts_as_pause() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()

        began_s = [round(loop.time(), 3) async for _ in batches(later(6, each_s=0.04), size=2)]

        assert began_s == [0.08, 0.18, 0.28]

    in_virtual_time(work())


def test_no_more_than_a_batch_is_read_at_a_time() -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    async def work() -> None:
        async for batch in batches(numbers(), size=10):
            assert len(read) == batch[-1] + 1

    in_virtual_time(work())


def test_what_the_source_raises_is_raised() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    async def work() -> None:
        with pytest.raises(OSError, match="the file is gone"):
            await anext(batches(numbers()))

    in_virtual_time(work())


@pytest.mark.parametrize(("size", "pause_ms"), [(0, 100), (10, -1)])
def test_a_size_or_a_pause_that_makes_no_sense_is_refused(size: int, pause_ms: float) -> None:
    with pytest.raises(SettingsError, match=f"size is {size} and pause_ms {pause_ms}"):
        batches([], size, pause_ms)
