"""One message that waits is taken back: from the queue first, then in the ledger."""

from __future__ import annotations

import pytest

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, NoQueue
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Result
from tempogram.engine.recovery.cancellations import Cancellation, Cancellations
from tempogram.engine.resilience.conditions import Condition
from tests.engine.desk import Desk, turns
from tests.fakes import outgoing


@pytest.fixture
def cancellations(desk: Desk) -> Cancellations:
    return Cancellations(
        broker=desk.broker,
        closer=desk.closer,
        pending_admissions=desk.pending_admissions,
        conditions=desk.conditions,
        sleep=desk._sleep,
    )


async def test_a_waiting_message_is_cancelled_and_its_result_published(
    desk: Desk, cancellations: Cancellations
) -> None:
    await desk.accept(outgoing("a"))
    waiting = desk.results.expect("a")

    assert await cancellations.cancel("a") is Cancellation.DONE

    assert waiting.result() == Result("a", Status.CANCELLED, None)
    assert desk.ledger.statuses == {"a": Status.CANCELLED}
    assert await desk.leases() == []


async def test_a_leased_or_unknown_message_is_not_cancelled(desk: Desk, cancellations: Cancellations) -> None:
    await desk.leased(outgoing("a"))

    assert await cancellations.cancel("a") is Cancellation.NOT_WAITING
    assert await cancellations.cancel("b") is Cancellation.NOT_WAITING
    assert desk.ledger.statuses == {"a": Status.QUEUED}


async def test_a_message_that_has_another_end_in_the_ledger_keeps_it(desk: Desk, cancellations: Cancellations) -> None:
    await desk.accept(outgoing("a"))
    waiting = desk.results.expect("a")
    desk.ledger.statuses["a"] = Status.SENT

    assert await cancellations.cancel("a") is Cancellation.OTHER_END

    assert desk.ledger.statuses == {"a": Status.SENT}
    assert not waiting.done()


async def test_a_cancellation_that_the_ledger_refuses_is_written_once_it_is_back(
    desk: Desk, cancellations: Cancellations
) -> None:
    await desk.accept(outgoing("a"))
    desk.ledger_falls_asleep()
    with pytest.raises(LedgerError):
        await cancellations.cancel("a")
    await turns()
    away = desk.conditions.holds(Condition.LEDGER_AWAY)

    desk.ledger_wakes_up()
    await turns()

    assert (away, desk.conditions.holds(Condition.LEDGER_AWAY)) == (True, False)
    assert desk.ledger.statuses == {"a": Status.CANCELLED}
    assert not desk.pending_admissions.is_behind


async def test_a_message_that_the_queue_may_have_forgotten_is_noted_to_be_admitted_again(
    desk: Desk, cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.accept(outgoing("a"))
    refuse_to_cancel(desk, BrokerUnavailable("connection reset"), monkeypatch)

    with pytest.raises(BrokerUnavailable):
        await cancellations.cancel("a")

    assert desk.pending_admissions.is_behind
    assert desk.ledger.statuses == {"a": Status.QUEUED}


async def test_a_message_that_the_queue_surely_has_not_forgotten_is_not_noted(
    desk: Desk, cancellations: Cancellations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have accepted one before it, and could not queue it either."""
    await desk.accept(outgoing("a"))
    refuse_to_cancel(desk, NoQueue("one process sends for all"), monkeypatch)

    with pytest.raises(NoQueue):
        await cancellations.cancel("a")

    assert not desk.pending_admissions.is_behind


def refuse_to_cancel(desk: Desk, error: BrokerUnavailable, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancel(_: list[str]) -> list[bool]:
        raise error

    monkeypatch.setattr(desk.broker, "cancel", cancel)
