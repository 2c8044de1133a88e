"""Messages whose time ran out."""

from __future__ import annotations

from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Fault, Result
from tests.engine.desk import Desk
from tests.fakes import START_MS, outgoing


async def test_an_expired_message_is_recorded_as_expired_without_a_call(desk: Desk) -> None:
    await desk.expiry.record([outgoing("a", attempt=2)])

    (record,) = desk.ledger.records
    assert (record.status, record.attempt, record.outcome) == (Status.EXPIRED, 2, None)
    assert (record.started_at_ms, record.recorded_at_ms) == (None, START_MS)
    assert record.fault == Fault(code=None, reason="its time ran out before its turn came")


async def test_whoever_waits_for_an_expired_message_is_told_after_it_is_recorded(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    await desk.expiry.record([outgoing("a")])

    assert waiting.result() == Result("a", Status.EXPIRED, None)
    assert desk.journal == ["record", "publish"]


async def test_a_ledger_that_refuses_is_asked_again(desk: Desk) -> None:
    desk.ledger.refused_words = ["record", "record"]

    await desk.expiry.record([outgoing("a")])

    assert desk.ledger.statuses == {"a": Status.EXPIRED}
    assert desk.slept == [1.0, 1.0]


async def test_a_message_is_not_sent_at_the_moment_at_which_it_expires(desk: Desk) -> None:
    await desk.accept(outgoing("a", expires_at_ms=START_MS + 500))
    desk.clock.advance(500)

    leased = await desk.broker.lease(worker_id="w", slots=1)

    assert leased.leases == ()
    assert [message.id for message in leased.expired] == ["a"]
