"""A function over many items, in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tempogram.engine.bulk.batches import batches
from tempogram.engine.bulk.map_limited import Bulk, BulkOptions
from tempogram.engine.bulk.results import BulkCounts, BulkError, BulkItem, TooManyFailures
from tempogram.engine.bulk.source import Items
from tempogram.engine.model.errors import SettingsError
from tests.virtual_time import in_virtual_time


def bulk(function: Callable[[Any], Awaitable[Any]], items: Items[Any], **options: Any) -> Bulk[Any, Any]:
    return Bulk(function, items, BulkOptions(**options))


async def twice(number: int) -> int:
    """Return it doubled, later the smaller it is; threes fail, and 99 hangs."""
    await asyncio.sleep(99 if number == 99 else 1 / (number + 1))
    if number % 10 == 3:
        raise ValueError(number)
    return 2 * number


class Source:
    """A generator of numbers, which notes how far it was read and that it was closed."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self.is_closed = False
        self._count = count

    def now(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                self.read += 1
                yield number
        finally:
            self.is_closed = True

    async def later(self) -> AsyncIterator[int]:
        try:
            for number in range(self._count):
                await asyncio.sleep(0.01)
                self.read += 1
                yield number
        finally:
            self.is_closed = True


async def no_task_is_left() -> bool:
    for _ in range(10):
        await asyncio.sleep(0)
    return asyncio.all_tasks() == {asyncio.current_task()}


def test_a_report_has_results_in_the_order_of_the_items_and_the_failures() -> None:
    async def work() -> None:
        report = await bulk(twice, range(6))

        assert report.results == [0, 2, 4, None, 8, 10]
        assert [(each.index, each.item, repr(each.error)) for each in report.failures] == [(3, 3, "ValueError(3)")]
        assert report.counts == BulkCounts(total=6, done=5, failed=1, is_over=True)

    in_virtual_time(work())


def test_each_item_is_handed_over_as_it_ends() -> None:
    async def work() -> None:
        ended = [each.index async for each in bulk(twice, range(5))]

        assert ended == [4, 3, 2, 1, 0]

    in_virtual_time(work())


def test_an_item_that_hangs_delays_no_other() -> None:
    async def work() -> None:
        ended = [each.item async for each in bulk(twice, [99, *range(20)], concurrency=2)]

        assert ended[-1] == 99
        assert asyncio.get_running_loop().time() == 99

    in_virtual_time(work())


@pytest.mark.parametrize("kind", ["now", "later"])
def test_a_generator_is_not_read_ahead_further_than_the_concurrency(kind: str) -> None:
    async def work() -> None:
        source, taken = Source(100), 0
        async for _ in bulk(twice, getattr(source, kind)(), concurrency=4):
            taken += 1
            await asyncio.sleep(0.5)
            assert source.read <= taken + 4

        assert (taken, source.is_closed) == (100, True)

    in_virtual_time(work())


@pytest.mark.parametrize("kind", ["now", "later"])
def test_beyond_the_limit_on_failures_nothing_new_begins_and_what_is_under_way_ends(kind: str) -> None:
    async def work() -> None:
        source = Source(100)

        with pytest.raises(TooManyFailures, match="2 items failed, and failures_max is 1") as raised:
            await bulk(twice, getattr(source, kind)(), concurrency=5, failures_max=1)

        report = raised.value.report
        assert [each.item for each in report.failures] == [3, 13]
        assert source.read < 25
        assert report.counts.ended == source.read == len(report.results)
        assert source.is_closed
        assert await no_task_is_left()

    in_virtual_time(work())


def test_a_source_that_waits_for_ever_does_not_delay_too_many_failures() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 3
        await asyncio.sleep(1_000_000)

    async def work() -> None:
        with pytest.raises(TooManyFailures):
            await bulk(twice, numbers(), failures_max=0)

        assert asyncio.get_running_loop().time() < 1

    in_virtual_time(work())


def test_a_limit_on_failures_holds_for_items_taken_one_by_one() -> None:
    async def work() -> None:
        taken: list[BulkItem[int, int]] = []

        async def take() -> None:
            async for each in bulk(twice, range(100), failures_max=0):
                taken.append(each)  # noqa: PERF401 - it ends with an error

        with pytest.raises(TooManyFailures) as raised:
            await take()

        assert [each.item for each in taken if each.error] == [each.item for each in raised.value.report.failures]
        assert len(taken) == raised.value.report.counts.ended

    in_virtual_time(work())


@pytest.mark.parametrize("kind", ["now", "later"])
def test_leaving_the_loop_cancels_what_is_under_way_and_closes_the_source(kind: str) -> None:
    async def work() -> None:
        source = Source(100)

        async for _ in bulk(twice, getattr(source, kind)()):
            break

        assert await no_task_is_left()
        assert source.is_closed

    in_virtual_time(work())


@pytest.mark.parametrize("kind", ["now", "later"])
def test_cancelling_the_caller_cancels_what_is_under_way_and_closes_the_source(kind: str) -> None:
    async def work() -> None:
        source, cancelled = Source(100), []

        async def hang(number: int) -> None:
            try:
                await asyncio.sleep(1_000)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await bulk(hang, getattr(source, kind)())

        assert sorted(cancelled) == [0, 1, 2, 3, 4]
        assert source.is_closed
        assert await no_task_is_left()

    in_virtual_time(work())


def test_a_source_that_fails_lets_what_is_under_way_end() -> None:
    def numbers() -> Iterator[int]:
        yield from (0, 1, 2)
        raise OSError("the file is gone")

    async def work() -> None:
        with pytest.raises(BulkError, match="the items could not be read to their end: OSError") as raised:
            await bulk(twice, numbers())

        assert isinstance(raised.value.__cause__, OSError)
        assert raised.value.report.results == [0, 2, 4]

    in_virtual_time(work())


def test_a_function_that_is_cancelled_from_inside_is_a_failure_of_its_item_only() -> None:
    async def cancelled(number: int) -> int:
        if number == 1:
            raise asyncio.CancelledError
        return number

    async def work() -> None:
        report = await bulk(cancelled, range(4))

        assert report.results == [0, None, 2, 3]
        assert isinstance(report.failures[0].error, asyncio.CancelledError)

    in_virtual_time(work())


def test_batches_are_items_with_a_pause_between_their_beginnings() -> None:
    began: list[tuple[float, list[int]]] = []

    async def update(batch: list[int]) -> int:
        began.append((asyncio.get_running_loop().time(), batch))
        await asyncio.sleep(0.05)
        return len(batch)

    async def work() -> None:
        report = await bulk(update, batches(range(25)))

        assert report.results == [10, 10, 5]
        assert report.counts.total == 3
        assert [round(at_s, 3) for at_s, _ in began] == [0, 0.1, 0.2]

    in_virtual_time(work())


def test_with_one_at_once_the_pause_is_from_the_end_of_a_batch_to_the_next() -> None:
    began: list[float] = []

    async def update(_: list[int]) -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.5)

    async def work() -> None:
        await bulk(update, batches(range(25)), concurrency=1)

        assert [round(at_s, 3) for at_s in began] == [0, 0.6, 1.2]

    in_virtual_time(work())


def test_progress_gets_the_counts_after_each_item_and_once_at_the_end() -> None:
    async def work() -> None:
        seen: list[BulkCounts] = []

        await bulk(twice, [0, 3], progress=seen.append)

        assert [(each.done, each.failed, each.is_over) for each in seen] == [
            (0, 1, False),
            (1, 1, False),
            (1, 1, True),
        ]

    in_virtual_time(work())


def test_progress_that_fails_ends_it_and_leaves_nothing_behind() -> None:
    def broken(_: BulkCounts) -> None:
        raise KeyError("progress")

    async def work() -> None:
        with pytest.raises(KeyError):
            await bulk(twice, range(100), progress=broken)

        assert await no_task_is_left()

    in_virtual_time(work())


def test_what_an_item_sets_in_its_context_is_not_seen_by_the_next() -> None:
    seen = contextvars.ContextVar("seen", default=0)

    async def note(number: int) -> int:
        before = seen.get()
        seen.set(number)
        return before

    async def work() -> None:
        assert (await bulk(note, range(1, 9), concurrency=1)).results == [0] * 8

    in_virtual_time(work())


def test_it_may_be_used_once() -> None:
    async def work() -> None:
        numbers = bulk(twice, range(3))
        await numbers

        with pytest.raises(RuntimeError, match="was used already"):
            await numbers

    in_virtual_time(work())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"concurrency": 0}, "concurrency is 0; it must be 1 to 10000"),
        ({"concurrency": 10_001}, "concurrency is 10001"),
        ({"failures_max": -1}, "failures_max is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        BulkOptions[int](**options)
