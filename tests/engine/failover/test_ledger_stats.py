"""The counts that stand in for those of a queue that cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempogram.engine.failover.ledger_stats import LedgerStats
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import PRIORITIES, Priority
from tempogram.engine.model.outcomes import Failed, Rejected, Sent, Throttled, Uncertain
from tempogram.engine.ports import QueueStats
from tempogram.engine.ports.ledger import OpenCounts
from tempogram.engine.resilience.kept_count import KEPT_S, KEPT_TIMES
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.engine.desk import Desk
from tests.fakes import outgoing

LONG_MS = 600_000
"""Longer than any backoff or hold of the test."""

ANSWERS = st.sampled_from((Sent(1), Failed("502"), Throttled(7_000), Rejected(400, "empty"), Uncertain("no answer")))
SUBMISSIONS = st.tuples(st.sampled_from(PRIORITIES), st.integers(1, 4))


class CountedLedger(MemoryLedger):
    """A ledger that notes how often it counts; each count takes ``takes_s``, and fails while it is ``asleep``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = 0
        self.now_s = self.takes_s = 0.0
        self.asleep = False

    async def open_counts(self) -> OpenCounts:
        self.counts += 1
        await asyncio.sleep(0)
        self.now_s += self.takes_s
        if self.asleep:
            raise LedgerError("the database is away")
        return OpenCounts(waiting={Priority.HIGH: self.counts}, retry=0)


@pytest.fixture
def ledger() -> CountedLedger:
    return CountedLedger()


@pytest.fixture
def counted(ledger: CountedLedger) -> LedgerStats:
    return LedgerStats(ledger, seconds=lambda: ledger.now_s)


def shown(stats: QueueStats) -> tuple[dict[Priority, int], int]:
    return {each: stats.waiting.get(each, 0) for each in PRIORITIES}, stats.retry


@given(st.lists(st.one_of(SUBMISSIONS, ANSWERS), max_size=30))
@settings(deadline=None)
def test_the_ledger_counts_as_the_queue_does_when_nothing_is_in_flight(steps: Sequence[object]) -> None:
    async def check() -> None:
        desk = Desk()
        for number, each in enumerate(steps):
            if isinstance(each, tuple):
                priority, chat_id = each
                await desk.accept(outgoing(f"{number:03}", priority=priority, chat_id=chat_id))
            else:
                desk.clock.advance(LONG_MS)
                desk.transport.answers(each)  # type: ignore[arg-type]
                for lease in await desk.leases(1):
                    await desk.send(lease)
                desk.transport.script.clear()
            assert shown(await LedgerStats(desk.ledger).stats()) == shown(await desk.broker.stats())

    asyncio.run(check())


async def test_callers_at_the_same_time_share_a_count(counted: LedgerStats, ledger: CountedLedger) -> None:
    await asyncio.gather(*(counted.stats() for _ in range(5)))

    assert ledger.counts == 1


async def test_a_count_is_shown_for_a_moment_and_a_slow_one_for_longer(
    counted: LedgerStats, ledger: CountedLedger
) -> None:
    async def counts_after(seconds: float) -> int:
        ledger.now_s += seconds
        await counted.stats()
        return ledger.counts

    assert [await counts_after(each) for each in (0, KEPT_S / 2, KEPT_S / 2)] == [1, 1, 2]

    ledger.takes_s = 2.0
    assert [await counts_after(each) for each in (KEPT_S, KEPT_TIMES, KEPT_TIMES, 1)] == [3, 3, 4, 4]


async def test_a_caller_that_gives_up_does_not_stop_the_count_for_the_next(
    counted: LedgerStats, ledger: CountedLedger
) -> None:
    impatient = asyncio.create_task(counted.stats())
    await asyncio.sleep(0)
    impatient.cancel()

    stats = await counted.stats()

    assert (stats.waiting, stats.leased, ledger.counts) == ({Priority.HIGH: 1}, None, 1)


async def test_a_ledger_that_is_away_as_well_raises_and_is_asked_again(
    counted: LedgerStats, ledger: CountedLedger
) -> None:
    ledger.asleep = True
    with pytest.raises(LedgerError):
        await counted.stats()
    ledger.asleep = False

    assert (await counted.stats()).waiting == {Priority.HIGH: 2}
