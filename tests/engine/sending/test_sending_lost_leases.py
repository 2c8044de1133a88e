"""What a worker reports to a queue that does not know its lease: it was rebuilt, or the lease has expired."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import Outgoing, Rest, Status
from tempogram.engine.model.outcomes import Answer, Failed, HalfSent, Outcome, Rejected, Sent, Throttled
from tempogram.engine.sending.attempt import Answered
from tempogram.engine.sending.lease_retry import SURELY_MS
from tests.engine.desk import LEASE_MS, Desk
from tests.fakes import START_MS, outgoing

ONE_A_SECOND = Limits(ceiling=Limit(0, 1), bot=Limit(0, 1), chat=Limit(1, 1_000), guard_ms=0)


MESSAGE = outgoing("a")
ALBUM = outgoing("a", method="sendMediaGroup", cost=5)
REST = Rest("sendMediaGroup", b'{"media":[3,4,5]}', cost=3)


async def called_before_a_rebuild(desk: Desk, reply: Outcome | Answer, message: Outgoing = MESSAGE) -> Answered:
    """Make a call, and let the queue be rebuilt before anything is recorded: there is a copy of the message."""
    desk.transport.answers(reply)
    attempt = await desk.delivery.call(desk.held(await desk.leased(message)))
    desk.broker.begin_anew()
    await desk.admit(message)
    return attempt


@pytest.mark.parametrize("reply", [Sent(1), Rejected(400, "no")])
async def test_a_message_that_has_ended_is_not_sent_again_by_a_rebuilt_queue(desk: Desk, reply: Outcome) -> None:
    attempt = await called_before_a_rebuild(desk, reply)

    await desk.delivery.conclude(attempt)

    assert await desk.broker.knows(["a"]) == [False]


async def test_a_message_that_has_not_ended_stays_in_the_rebuilt_queue(desk: Desk) -> None:
    attempt = await called_before_a_rebuild(desk, Failed("HTTP 502", 502))

    await desk.delivery.conclude(attempt)

    assert await desk.broker.knows(["a"]) == [True]


async def test_the_place_that_a_call_took_is_noted_in_the_rebuilt_queue() -> None:
    desk = Desk(limits=ONE_A_SECOND)
    attempt = await called_before_a_rebuild(desk, Answer(Sent(1), counted_at_ms=START_MS))
    await desk.admit(outgoing("b"))

    await desk.delivery.conclude(attempt)
    desk.clock.advance(1_000)
    too_early = await desk.leases()
    desk.clock.advance(1)
    on_time = await desk.leases()

    assert too_early == []
    assert [lease.message.id for lease in on_time] == ["b"]


async def test_a_call_that_was_never_written_takes_no_place_in_the_rebuilt_queue() -> None:
    desk = Desk(limits=ONE_A_SECOND)
    attempt = await called_before_a_rebuild(desk, Answer(Failed("ConnectionRefusedError"), counted_at_ms=None))

    await desk.delivery.conclude(attempt)

    assert [lease.message.id for lease in await desk.leases()] == ["a"]


async def test_a_chat_that_telegram_holds_is_held_by_the_rebuilt_queue_too(desk: Desk) -> None:
    attempt = await called_before_a_rebuild(desk, Throttled(7_000))

    await desk.delivery.conclude(attempt)
    desk.clock.advance(6_999)
    too_early = await desk.leases()
    desk.clock.advance(1)

    assert too_early == []
    assert [lease.message.id for lease in await desk.leases()] == ["a"]


async def test_a_message_that_was_replayed_since_it_ended_stays_in_the_rebuilt_queue(
    desk: Desk,
) -> None:
    attempt = await called_before_a_rebuild(desk, Rejected(400, "no"))

    async def replay() -> None:
        desk.ledger.statuses["a"] = Status.QUEUED

    desk.broker.before_settling = replay
    await desk.delivery.conclude(attempt)

    assert await desk.broker.knows(["a"]) == [True]


async def test_the_rebuilt_queue_sends_only_the_rest_of_a_half_sent_album_after_the_hold(
    desk: Desk,
) -> None:
    """The copy was of the whole album, and so the first half came twice."""
    attempt = await called_before_a_rebuild(desk, HalfSent(2, REST, Throttled(7_000)), ALBUM)

    await desk.delivery.conclude(attempt)
    forgotten = await desk.broker.knows(["a"])
    await desk.pending_admissions.admit()
    too_early = await desk.leases()
    desk.clock.advance(7_000)

    assert forgotten == [False]
    assert too_early == []
    assert (await desk.lease()).message == REST.of(ALBUM)


async def test_an_album_of_which_telegram_refused_the_rest_is_not_sent_again(desk: Desk) -> None:
    attempt = await called_before_a_rebuild(desk, HalfSent(2, REST, Rejected(400, "no")), ALBUM)

    await desk.delivery.conclude(attempt)
    await desk.pending_admissions.admit()

    assert await desk.broker.knows(["a"]) == [False]


async def test_an_outcome_is_settled_when_the_broker_is_back(desk: Desk) -> None:
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.broker.away_for(3)

    await desk.delivery.conclude(attempt)

    assert desk.slept == [1.0, 1.0, 1.0]
    assert desk.ledger.statuses["a"] is Status.SENT
    assert len(desk.ledger.records) == 1
    assert (await desk.broker.stats()).leased == 0


async def test_an_outcome_is_left_unsettled_once_its_lease_has_surely_expired_and_not_sent_again(desk: Desk) -> None:
    waiting = desk.results.expect("a")
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.broker.away_for(1_000)

    with capture_logs() as logs:
        await desk.delivery.conclude(attempt)
    desk.broker.away_for(0)
    await desk.recoverer.recover_once()

    assert [each["event"] for each in logs] == ["lease_left_unsettled"]
    assert LEASE_MS + SURELY_MS < sum(desk.slept) * 1_000 <= LEASE_MS + SURELY_MS + 2_000
    assert waiting.result().status is Status.SENT
    assert await desk.broker.knows(["a"]) == [False]
    assert [record.outcome for record in desk.ledger.records] == ["sent"]
