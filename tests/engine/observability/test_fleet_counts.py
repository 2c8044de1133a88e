"""Sums over all processes, of which each adds its own."""

from __future__ import annotations

import asyncio

import pytest

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.observability.fleet_counts import FleetCounts
from tempogram.engine.observability.metrics import DROPS, THROTTLED, Metrics
from tests.fakes import MemoryTotals


@pytest.fixture
def totals() -> MemoryTotals:
    return MemoryTotals()


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


async def test_the_sum_has_what_every_process_counted_those_that_have_ended_included(totals: MemoryTotals) -> None:
    worker, api = Metrics(throttled=3), Metrics(drops=1)
    await FleetCounts(worker, totals).flush()
    shown = FleetCounts(api, totals)

    await shown.refresh()

    assert (shown.latest[THROTTLED], shown.latest[DROPS]) == (3, 1)


async def test_what_a_process_added_itself_is_counted_once(totals: MemoryTotals) -> None:
    api = Metrics()
    shown = FleetCounts(api, totals)
    seen = []
    for _ in range(3):
        api.count_drops(2)
        seen.append(shown.latest[DROPS])
        await shown.flush()
        await shown.refresh()
        seen.append(shown.latest[DROPS])

    assert seen == [2, 2, 4, 4, 6, 6]


async def test_while_the_database_is_away_the_sum_is_what_was_read_last_and_what_is_counted_here(
    totals: MemoryTotals,
) -> None:
    totals.sums[THROTTLED] = 5
    api = Metrics()
    shown = FleetCounts(api, totals)
    await shown.refresh()
    totals.asleep = True
    api.throttled += 1

    with pytest.raises(LedgerError):
        await shown.refresh()

    assert shown.latest[THROTTLED] == 6


async def test_what_could_not_be_added_is_added_when_the_database_is_back(totals: MemoryTotals) -> None:
    worker = Metrics(throttled=3)
    counts = FleetCounts(worker, totals)
    totals.asleep = True
    with pytest.raises(LedgerError):
        await counts.flush()
    totals.asleep = False
    worker.throttled += 1

    await counts.flush()
    await counts.flush()

    assert (totals.sums[THROTTLED], totals.writes) == (4, 1)


async def test_a_process_that_counts_nothing_neither_writes_nor_reads(totals: MemoryTotals) -> None:
    worker = Metrics()
    running = asyncio.create_task(FleetCounts(worker, totals, sleep=no_pause).run())
    for _ in range(20):
        await asyncio.sleep(0)
    before = totals.writes, totals.reads

    worker.count_drops(2)
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()

    assert before == (0, 0)
    assert (totals.sums[DROPS], totals.writes, totals.reads) == (2, 1, 0)
