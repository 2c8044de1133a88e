"""Ledger and queue compared: an open message that only the ledger has is admitted again, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.recovery.reconciler import MISSING_MS, Reconciler
from tempogram.engine.resilience.conditions import Condition
from tests.engine.desk import Desk, turns
from tests.fakes import outgoing

IDS = Ids()
EVERY_MS = 5_000
DAY_MS = 86_400_000


@pytest.fixture
def reconciler(desk: Desk) -> Reconciler:
    return Reconciler(
        ledger=desk.ledger, broker=desk.broker, closer=desk.closer, conditions=desk.conditions, clock=desk.clock
    )


def written(desk: Desk) -> Outgoing:
    """Return a message that is in the ledger alone, written now."""
    message = structs.replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    desk.ledger.messages[message.id] = message
    desk.ledger.statuses[message.id] = Status.QUEUED
    return message


async def reconciled(desk: Desk, reconciler: Reconciler, *, for_ms: int) -> int:
    """Let the reconciler compare a page every five seconds, and return how many messages it admitted."""
    found = await reconciler.reconcile_page()
    for _ in range(0, for_ms, EVERY_MS):
        desk.clock.advance(EVERY_MS)
        found += await reconciler.reconcile_page()
    return found


async def test_a_message_that_only_the_ledger_has_is_admitted_again(desk: Desk, reconciler: Reconciler) -> None:
    message = structs.replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    desk.broker.asleep = True
    await desk.accept(message)
    desk.broker.asleep = False

    too_early = await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS)
    found = await reconciled(desk, reconciler, for_ms=EVERY_MS)

    assert (too_early, found) == (0, 1)
    assert (await desk.lease()).message == message


async def test_a_message_that_both_have_is_left_alone(desk: Desk, reconciler: Reconciler) -> None:
    message = structs.replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    await desk.dispatcher.submit([message])

    assert await reconciled(desk, reconciler, for_ms=2 * MISSING_MS) == 0


async def test_a_message_that_may_still_be_under_way_is_left_alone(desk: Desk, reconciler: Reconciler) -> None:
    written(desk)

    assert await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS) == 0


async def test_a_message_whose_id_is_ahead_of_the_clock_is_admitted_again(desk: Desk, reconciler: Reconciler) -> None:
    """Ids go on after the highest one, also when the clock of one run was ahead."""
    desk.clock.advance(DAY_MS)
    IDS.new(desk.clock())
    desk.clock.advance(-DAY_MS)
    message = written(desk)

    found = await reconciled(desk, reconciler, for_ms=MISSING_MS)

    assert found == 1
    assert (await desk.lease()).message == message


async def test_a_message_that_ended_between_the_two_looks_is_not_sent_again(
    desk: Desk, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = written(desk)
    await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS)
    look = desk.broker.knows

    async def knows(message_ids: list[str]) -> list[bool]:
        desk.ledger.statuses[ended.id] = Status.SENT
        return await look(message_ids)

    monkeypatch.setattr(desk.broker, "knows", knows)

    assert await reconciled(desk, reconciler, for_ms=EVERY_MS) == 0
    assert await look([ended.id]) == [False]


async def test_a_cancellation_that_the_ledger_takes_long_to_write_is_not_undone(
    desk: Desk, reconciler: Reconciler
) -> None:
    message = structs.replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    await desk.dispatcher.submit([message])

    assert await desk.broker.cancel([message.id]) == [True]
    found = await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS)  # in the ledger it is still queued
    desk.ledger.statuses[message.id] = Status.CANCELLED
    found += await reconciled(desk, reconciler, for_ms=2 * MISSING_MS)

    assert found == 0
    assert await desk.leases() == []


async def test_a_replay_is_admitted_once_though_the_reconciler_sees_it_first(
    desk: Desk, reconciler: Reconciler
) -> None:
    replayed = written(desk)

    found = await reconciled(desk, reconciler, for_ms=EVERY_MS)  # between the ledger's commit and the admission
    for lease in await desk.leases():
        await desk.send(lease)
    await desk.dispatcher.readmit([replayed])
    for lease in await desk.leases():
        await desk.send(lease)
    found += await reconciled(desk, reconciler, for_ms=2 * MISSING_MS)

    assert found == 0
    assert desk.transport.ids == [replayed.id]


async def test_a_message_that_was_missing_twice_for_a_moment_is_left_alone(desk: Desk, reconciler: Reconciler) -> None:
    replayed = written(desk)

    await reconciled(desk, reconciler, for_ms=EVERY_MS)
    await desk.dispatcher.readmit([replayed])
    await reconciled(desk, reconciler, for_ms=MISSING_MS)
    await desk.broker.cancel([replayed.id])

    assert await reconciled(desk, reconciler, for_ms=EVERY_MS) == 0


async def test_a_message_that_was_missing_before_a_reset_counts_as_missing_from_then_on(
    desk: Desk, reconciler: Reconciler
) -> None:
    written(desk)
    await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS)

    reconciler.forget()

    assert await reconciled(desk, reconciler, for_ms=MISSING_MS - EVERY_MS) == 0
    assert await reconciled(desk, reconciler, for_ms=EVERY_MS) == 1


async def test_an_unreachable_ledger_is_a_condition_until_a_page_is_read_again(
    desk: Desk, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try was a traceback in the log."""
    monkeypatch.setattr("tempogram.engine.recovery.reconciler.RECONCILE_MS", 0)
    with capture_logs() as logs:
        running = asyncio.create_task(reconciler.run())
        desk.ledger.asleep = True
        await turns()
        away = desk.conditions.current
        desk.ledger.asleep = False
        await turns()
        running.cancel()

    assert (away, desk.conditions.current) == ([Condition.LEDGER_AWAY], [])
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]
