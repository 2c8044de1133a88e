"""A function over many items, by chance, in virtual time: whatever ends it, nothing is left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.bulk.map_limited import Bulk, BulkOptions
from tempogram.engine.bulk.results import TooManyFailures
from tests.virtual_time import in_virtual_time

DURATIONS_S = (0.0, 0.0, 0.01, 0.5, 3.0)


@dataclass
class World:
    """Items that take a while and may fail, the source that they come from, and what was seen of both."""

    chance: random.Random
    count: int
    concurrency: int
    is_later: bool
    begun: Counter[int] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    taken: list[int] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    read: int = 0
    furthest_ahead: int = 0
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.takes_s = [self.chance.choice(DURATIONS_S) for _ in range(self.count)]
        self.failing = {number for number in range(self.count) if self.chance.random() < 0.2}

    async def work(self, number: int) -> int:
        self.begun[number] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.takes_s[number]:
                await asyncio.sleep(self.takes_s[number])
            self.ended[number] += 1
            if number in self.failing:
                raise ValueError(number)
            return number * 10
        finally:
            self.under_way -= 1

    def bulk(self, **options: Any) -> Bulk[int, int]:
        items = self._later() if self.is_later else self._now()
        return Bulk(self.work, items, BulkOptions(concurrency=self.concurrency, **options))

    def _now(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self._note_read()
                yield number
        finally:
            self.is_closed = True

    async def _later(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.2)))
                self._note_read()
                yield number
        finally:
            self.is_closed = True

    def _note_read(self) -> None:
        self.read += 1
        self.furthest_ahead = max(self.furthest_ahead, self.read - len(self.taken))

    def judge(self) -> None:
        """Judge what must hold, however it has ended."""
        assert self.most_under_way <= self.concurrency
        assert max(self.begun.values(), default=1) == 1
        assert self.under_way == 0
        assert self.is_closed or self.read == 0  # a generator that was not begun has nothing to close
        assert asyncio.all_tasks() == {asyncio.current_task()}


WORLDS = st.builds(
    World,
    chance=st.integers(0, 2**32).map(random.Random),
    count=st.integers(0, 40),
    concurrency=st.integers(1, 8),
    is_later=st.booleans(),
)


@given(world=WORLDS)
def test_a_report_has_each_item_once_and_in_order(world: World) -> None:
    async def work() -> None:
        report = await world.bulk()

        assert report.results == [None if each in world.failing else 10 * each for each in range(world.count)]
        assert [each.item for each in report.failures] == sorted(world.failing)
        assert sorted(world.ended) == [*range(world.count)]
        world.judge()

    in_virtual_time(work())


@given(world=WORLDS, body_s=st.sampled_from((0.0, 0.1, 2.0)))
def test_items_are_taken_once_each_and_not_read_ahead_of_that(world: World, body_s: float) -> None:
    async def work() -> None:
        async for each in world.bulk():
            world.taken.append(each.index)
            await asyncio.sleep(body_s)

        assert sorted(world.taken) == [*range(world.count)]
        assert world.furthest_ahead <= world.concurrency
        world.judge()

    in_virtual_time(work())


@given(world=WORLDS, failures_max=st.integers(0, 5))
def test_beyond_the_limit_on_failures_all_that_began_has_ended_and_is_reported(world: World, failures_max: int) -> None:
    async def work() -> None:
        if len(world.failing) <= failures_max:
            await world.bulk(failures_max=failures_max)
        else:
            with pytest.raises(TooManyFailures) as raised:
                await world.bulk(failures_max=failures_max)
            report = raised.value.report
            assert failures_max < len(report.failures) <= failures_max + world.concurrency
            assert report.counts.ended == world.begun.total()
        assert world.begun == world.ended
        world.judge()

    in_virtual_time(work())


@given(world=WORLDS, after_s=st.floats(0, 5))
def test_cancelled_at_any_moment_nothing_is_left_behind(world: World, after_s: float) -> None:
    async def work() -> None:
        running = asyncio.ensure_future(world.bulk())
        await asyncio.wait({running}, timeout=after_s)
        running.cancel()
        await asyncio.wait({running})

        world.judge()

    in_virtual_time(work())


@given(world=WORLDS, leaves_after=st.integers(0, 20), closes=st.booleans())
def test_left_after_any_item_nothing_is_left_behind(world: World, leaves_after: int, *, closes: bool) -> None:
    async def take(items: AsyncIterator[Any]) -> None:
        async for each in items:
            world.taken.append(each.index)
            if len(world.taken) > leaves_after:
                break

    async def work() -> None:
        if closes:
            async with aclosing(aiter(world.bulk())) as items:  # type: ignore[type-var]
                await take(items)
        else:
            await take(aiter(world.bulk()))
            await asyncio.sleep(0.001)  # it is closed in a task of the loop's own

        assert len(world.taken) == len(set(world.taken)) == min(leaves_after + 1, world.count)
        world.judge()

    in_virtual_time(work())
