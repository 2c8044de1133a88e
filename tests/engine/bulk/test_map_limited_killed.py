"""A named bulk that is killed and called again, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.bulk.batches import batches
from tempogram.engine.bulk.journal import UNNOTED_MAX, Durable, OtherItems
from tempogram.engine.bulk.map_limited import Bulk, BulkOptions
from tempogram.engine.bulk.notes import GAP_S
from tempogram.engine.bulk.results import BulkError, BulkReport, FailedBefore, TooManyFailures
from tempogram.engine.bulk.source import Items
from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.scheduler.sweep import SweepRow
from tests.engine.bulk.memory_store import MemoryBulkStore
from tests.fakes import Clock
from tests.virtual_time import in_virtual_time

AT_MOST_ONCE, AT_LEAST_ONCE = Guarantee.AT_MOST_ONCE, Guarantee.AT_LEAST_ONCE

WHILE_NOTING_S = (0.003, 0.0045, 0.007, 0.0575)
"""Moments after a start at which a note is likely to be under way."""


@dataclass
class Campaign:
    """Sends to numbers, each of which takes its time, and knows what was sent.

    Attributes:
        begun: How often each number was begun.
        ended: How often each has ended, well or with an error.
        under_way: Numbers that are under way now.
        ended_at_s: When each has ended last.
    """

    store: MemoryBulkStore = field(default_factory=MemoryBulkStore)
    takes_s: Callable[[int], float] = lambda _: 1.0
    fails: Callable[[int], bool] = lambda _: False
    begun: Counter[int] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    under_way: set[int] = field(default_factory=set)
    ended_at_s: dict[int, float] = field(default_factory=dict)
    most: int = 0

    async def send(self, number: int) -> int:
        self.begun[number] += 1
        self.under_way.add(number)
        self.most = max(self.most, len(self.under_way))
        try:
            await asyncio.sleep(self.takes_s(number))
        finally:
            self.under_way.discard(number)
        self.ended[number] += 1
        self.ended_at_s[number] = asyncio.get_running_loop().time()
        if self.fails(number):
            raise ValueError(number)
        return number

    def bulk(
        self, items: Items[Any], guarantee: Guarantee = AT_LEAST_ONCE, name: str = "campaign-7", **options: Any
    ) -> Bulk[Any, Any]:
        durable = Durable(name=name, store=self.store, clock=Clock(), guarantee=guarantee)
        return Bulk(self.send, items, BulkOptions(durable=durable, **options))

    async def killed_after(self, seconds: float, bulk: Bulk[Any, Any]) -> Killed | None:
        """Go through a bulk until it is killed; None: it ended before."""
        running = asyncio.ensure_future(bulk)
        await asyncio.wait({running}, timeout=seconds)
        if running.done():
            await running
            return None
        now_s = asyncio.get_running_loop().time()
        killed = Killed(set(self.under_way), {each for each, at_s in self.ended_at_s.items() if at_s > now_s - 0.06})
        self.store.is_dead = True
        running.cancel()
        await asyncio.wait({running})
        self.store.is_dead = False
        return killed


@dataclass(frozen=True)
class Killed:
    """What was under way at a kill, and what had ended in the last moments before it."""

    under_way: set[int]
    just_ended: set[int]


def test_after_a_kill_only_what_was_under_way_is_done_again_and_is_named() -> None:
    async def work() -> None:
        campaign = Campaign()
        killed = await campaign.killed_after(2.5, campaign.bulk(range(20)))
        assert killed == Killed({10, 11, 12, 13, 14}, set())

        report = await campaign.bulk(range(20))

        assert sorted(each for each, count in campaign.begun.items() if count == 2) == [10, 11, 12, 13, 14]
        assert [each.item for each in report.uncertain] == [10, 11, 12, 13, 14]
        assert report.results == [None] * 10 + list(range(10, 20))
        assert (report.counts.before, report.counts.done) == (10, 10)

    in_virtual_time(work())


def test_with_at_most_once_what_was_under_way_is_named_and_not_done_again() -> None:
    async def work() -> None:
        campaign = Campaign()
        await campaign.killed_after(2.5, campaign.bulk(range(20), AT_MOST_ONCE))

        report = await campaign.bulk(range(20), AT_MOST_ONCE)

        assert max(campaign.begun.values()) == 1
        assert [each.item for each in report.uncertain] == [10, 11, 12, 13, 14]
        assert all(each.is_uncertain for each in report.uncertain)
        assert report.failures == []
        assert (report.counts.before, report.counts.uncertain, report.counts.done) == (10, 5, 5)
        row = campaign.store.rows["campaign-7"]
        assert (row.done, row.under_way) == (20, ())

    in_virtual_time(work())


def test_what_is_uncertain_is_named_again_after_another_kill() -> None:
    async def work() -> None:
        campaign = Campaign()
        await campaign.killed_after(1.5, campaign.bulk(range(20), AT_MOST_ONCE))
        await campaign.killed_after(1.5, campaign.bulk(range(20), AT_MOST_ONCE))

        report = await campaign.bulk(range(20), AT_MOST_ONCE)

        assert [each.item for each in report.uncertain] == [5, 6, 7, 8, 9, 15, 16, 17, 18, 19]

    in_virtual_time(work())


def test_what_was_done_again_is_named_by_each_later_call() -> None:
    async def work() -> None:
        campaign = Campaign(fails=lambda number: number == 5)
        await campaign.killed_after(1.5, campaign.bulk(range(20)))
        await campaign.killed_after(1.5, campaign.bulk(range(20)))

        first, second = await campaign.bulk(range(20)), await campaign.bulk(range(20))

        assert [each.item for each in first.uncertain] == [each.item for each in second.uncertain] == [*range(5, 15)]
        assert [each.item for each in second.failures] == [5]
        assert second.counts.before == 19

    in_virtual_time(work())


def test_one_item_that_hangs_does_not_let_others_be_done_again() -> None:
    async def work() -> None:
        campaign = Campaign(takes_s=lambda number: 1_000 if number == 0 else 1)
        await campaign.killed_after(50.5, campaign.bulk(range(400)))

        await campaign.bulk(range(400))

        repeated = [each for each, count in campaign.begun.items() if count == 2]
        assert len(repeated) == 5
        assert 0 in repeated

    in_virtual_time(work())


def test_failures_of_before_are_in_the_report_and_not_done_again() -> None:
    async def work() -> None:
        campaign = Campaign(fails=lambda number: number in {2, 15})
        await campaign.killed_after(2.5, campaign.bulk(range(20)))

        report = await campaign.bulk(range(20))

        assert [(each.item, type(each.error), str(each.error)) for each in report.failures] == [
            (2, FailedBefore, "ValueError(2)"),
            (15, ValueError, "15"),
        ]
        assert campaign.begun[2] == 1

    in_virtual_time(work())


def test_once_all_have_ended_nothing_is_done_again() -> None:
    async def work() -> None:
        campaign = Campaign(fails=lambda number: number == 2)
        first = await campaign.bulk(range(10))

        second = await campaign.bulk(iter(range(10)))

        assert max(campaign.begun.values()) == 1
        assert first.counts.done == second.counts.before == 9
        assert [each.item for each in second.failures] == [2]

    in_virtual_time(work())


def test_without_failures_what_has_ended_is_not_read_again() -> None:
    async def work() -> None:
        campaign = Campaign()
        await campaign.bulk(range(10))

        report = await campaign.bulk(unreadable())

        assert report.results == [None] * 10
        assert report.counts.before == 10

    in_virtual_time(work())


def unreadable() -> Iterator[int]:
    yield from ()
    raise AssertionError("it was read")


def test_too_many_failures_are_counted_anew_by_the_next_call() -> None:
    async def work() -> None:
        campaign = Campaign(fails=lambda number: number < 2)
        with pytest.raises(TooManyFailures):
            await campaign.bulk(range(10), failures_max=1, concurrency=2)

        report = await campaign.bulk(range(10), failures_max=1, concurrency=2)

        assert max(campaign.begun.values()) == 1
        assert [each.item for each in report.failures] == [0, 1]

    in_virtual_time(work())


@pytest.mark.parametrize("others", [["a", "x", "c", "d"], ["a"], ["b", "a", "c", "d"]])
def test_other_items_than_before_are_refused(others: list[str]) -> None:
    async def work() -> None:
        campaign = Campaign(takes_s=lambda each: 100 if str(each) > "b" else 1)
        await campaign.killed_after(5, campaign.bulk(["a", "b", "c", "d"], concurrency=1))
        begun = campaign.begun.total()

        with pytest.raises(OtherItems, match="the first 3 items of bulk campaign-7 are not those of the call before"):
            await campaign.bulk(others)

        assert campaign.begun.total() == begun

    in_virtual_time(work())


def test_items_that_come_last_may_be_new() -> None:
    async def work() -> None:
        campaign = Campaign()
        await campaign.killed_after(2.5, campaign.bulk(range(10), concurrency=1))

        report = await campaign.bulk(range(12))

        assert len(report.results) == 12
        assert set(campaign.ended) == set(range(12))

    in_virtual_time(work())


def test_batches_that_were_done_are_skipped_without_a_pause() -> None:
    async def work() -> None:
        sums: list[int] = []

        async def update(batch: list[int]) -> None:
            sums.append(sum(batch))
            await asyncio.sleep(0.2)

        store = MemoryBulkStore()
        campaign = Campaign(store=store)
        options = BulkOptions[list[int]](durable=Durable(name="b", store=store, clock=Clock()), concurrency=1)
        await campaign.killed_after(30.1, Bulk(update, batches(range(10_000)), options))
        done, began_s = len(sums), asyncio.get_running_loop().time()

        async for _ in Bulk(update, batches(range(10_000)), options):
            break

        assert done == 101
        assert asyncio.get_running_loop().time() - began_s < 0.4

    in_virtual_time(work())


def test_a_fast_function_is_not_slowed_to_a_commit_an_item() -> None:
    async def work() -> None:
        campaign = Campaign(takes_s=lambda _: 0.001)

        await campaign.bulk(range(10_000), concurrency=10)

        assert asyncio.get_running_loop().time() < 1.2
        assert campaign.store.notes < 30

    in_virtual_time(work())


def test_no_more_than_so_many_items_end_without_a_note() -> None:
    async def work() -> None:
        campaign = Campaign(store=MemoryBulkStore(write_s=5), takes_s=lambda _: 0.001)

        await campaign.killed_after(9.9, campaign.bulk(range(10_000), concurrency=10))

        assert campaign.ended.total() <= UNNOTED_MAX + 10

    in_virtual_time(work())


def test_a_database_that_is_away_for_a_while_is_waited_for() -> None:
    async def work() -> None:
        campaign = Campaign()
        running = asyncio.ensure_future(campaign.bulk(range(50)))
        await asyncio.sleep(2.5)
        campaign.store.is_away = True
        await asyncio.sleep(10)
        campaign.store.is_away = False

        report = await running

        assert report.counts.done == 50
        assert max(campaign.begun.values()) == 1

    in_virtual_time(work())


def test_a_database_that_stays_away_ends_it_and_leaves_nothing_behind() -> None:
    async def work() -> None:
        campaign = Campaign()
        running = asyncio.ensure_future(campaign.bulk(range(1_000)))
        await asyncio.sleep(2.5)
        campaign.store.is_away = True

        with pytest.raises(BulkError, match="how far the bulk is could not be noted: the database is away") as raised:
            await running

        assert raised.value.report.counts.ended == campaign.ended.total() < 250
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(LedgerError):
            await campaign.bulk(range(1_000))

    in_virtual_time(work())


def test_the_last_call_for_a_name_goes_on_and_the_one_before_ends() -> None:
    async def work() -> None:
        campaign = Campaign()
        first = asyncio.ensure_future(campaign.bulk(range(20), AT_MOST_ONCE))
        await asyncio.sleep(2.5)

        report = await campaign.bulk(range(20), AT_MOST_ONCE)

        with pytest.raises(BulkError, match="another call goes on with bulk campaign-7"):
            await first
        assert max(campaign.begun.values()) == 1
        assert report.counts.ended == 20

    in_virtual_time(work())


def test_the_name_of_a_sweep_is_refused() -> None:
    async def work() -> None:
        campaign = Campaign()
        campaign.store.rows["freeze-7"] = SweepRow(name="freeze-7", done=3, last="c")

        with pytest.raises(SettingsError, match="freeze-7 is the name of a sweep"):
            await campaign.bulk(range(3), name="freeze-7")

    in_virtual_time(work())


def test_a_call_that_is_cancelled_notes_what_has_ended() -> None:
    async def work() -> None:
        campaign = Campaign()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.003):  # the note of the last ones has just begun
                await campaign.bulk(range(20))

        report = await campaign.bulk(range(20))

        assert (report.counts.before, report.counts.done, report.failures) == (10, 10, [])

    in_virtual_time(work())


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 60),
    concurrency=st.integers(1, 8),
    kills_s=st.lists(st.one_of(st.floats(0.001, 3), st.sampled_from(WHILE_NOTING_S)), max_size=5),
    guarantee=st.sampled_from(Guarantee),
)
def test_over_any_kills_each_item_ends_and_only_what_was_under_way_is_repeated(
    seed: int, count: int, concurrency: int, kills_s: list[float], guarantee: Guarantee
) -> None:
    async def work() -> None:
        chance = random.Random(seed)
        durations = [chance.choice((0.0, 0.003, 0.2, 1.0)) for _ in range(count)]
        failing = {number for number in range(count) if chance.random() < 0.2}
        campaign = Campaign(takes_s=durations.__getitem__, fails=failing.__contains__)
        repeatable: Counter[int] = Counter()
        for seconds in kills_s:
            killed = await campaign.killed_after(
                seconds, campaign.bulk(range(count), guarantee, concurrency=concurrency)
            )
            if killed is not None:
                repeatable.update(killed.under_way | killed.just_ended)

        report = await campaign.bulk(range(count), guarantee, concurrency=concurrency)

        assert campaign.most <= concurrency
        assert len(report.results) == report.counts.ended == count
        _judge(campaign, report, guarantee, repeatable, failing)

    in_virtual_time(work())


def _judge(
    campaign: Campaign,
    report: BulkReport[Any, Any],
    guarantee: Guarantee,
    repeatable: Counter[int],
    failing: set[int],
) -> None:
    uncertain = {each.item for each in report.uncertain if each.is_uncertain}
    count = report.counts.ended
    assert {each.item for each in report.failures} == failing - uncertain
    assert [each for each, result in enumerate(report.results) if result is not None and result != each] == []
    if guarantee is AT_MOST_ONCE:
        assert campaign.begun.total() == len(campaign.begun)  # none twice
        assert set(range(count)) - set(campaign.ended) <= uncertain
        return
    assert set(campaign.ended) == set(range(count))
    assert uncertain == set()
    assert campaign.begun - Counter(range(count)) <= repeatable
    named = {each.item for each in report.uncertain}
    assert named <= set(repeatable)


def test_the_gap_between_notes_is_what_the_documents_say() -> None:
    assert GAP_S == 0.05
