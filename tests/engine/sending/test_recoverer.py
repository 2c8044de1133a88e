"""Messages whose worker is gone are found and concluded."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import Status
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.sending.outcome_policy import POISON_AFTER
from tempogram.engine.sending.recoverer import Recoverer
from tests.engine.desk import LEASE_MS, Desk, at_most_once, soon
from tests.fakes import outgoing


async def test_a_lease_that_ran_out_is_tried_again_and_has_spent_an_attempt() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    await desk.leased(outgoing("a"))
    desk.clock.advance(LEASE_MS)

    recovered = await desk.recoverer.recover_once()
    again = await desk.lease()

    assert recovered == 1
    assert again.attempt == 2
    assert desk.ledger.records[0].outcome == "lost"


async def test_a_lease_that_still_runs_is_left_alone(desk: Desk) -> None:
    await desk.leased(outgoing("a"))
    desk.clock.advance(LEASE_MS - 1)

    recovered = await desk.recoverer.recover_once()

    assert recovered == 0
    assert desk.ledger.records == []


async def test_an_at_most_once_message_whose_lease_ran_out_is_uncertain_and_never_resent(desk: Desk) -> None:
    await desk.leased(at_most_once(outgoing("a")))
    desk.clock.advance(LEASE_MS)

    await desk.recoverer.recover_once()

    assert desk.ledger.statuses["a"] is Status.UNCERTAIN
    assert await desk.leases() == []


async def test_the_worker_that_lost_its_lease_cannot_settle_it(desk: Desk) -> None:
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.clock.advance(LEASE_MS)
    (recovered,) = await desk.broker.recover(worker_id="r", slots=1)

    await desk.delivery.conclude(attempt)

    assert await desk.broker.extend([recovered], by_ms=1) == [True]


async def test_the_end_of_a_message_that_was_tried_again_meanwhile_ends_its_copy_too(desk: Desk) -> None:
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.clock.advance(LEASE_MS)
    await desk.recoverer.recover_once()

    await desk.delivery.conclude(attempt)

    assert desk.ledger.statuses["a"] is Status.SENT
    assert await desk.broker.knows(["a"]) == [False]


async def test_a_message_that_is_recorded_and_was_never_settled_is_not_sent_twice(desk: Desk) -> None:
    """Its worker was killed in between: it was sent again, though the ledger knew that it was sent."""
    await desk.leased(outgoing("a"))
    desk.ledger.statuses["a"] = Status.SENT
    desk.clock.advance(LEASE_MS)

    await desk.recoverer.recover_once()

    assert await desk.broker.knows(["a"]) == [False]
    assert desk.ledger.records == []


async def test_a_message_that_its_workers_die_of_is_a_dead_letter_that_says_so() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    waiting = desk.results.expect("a")
    await desk.accept(outgoing("a"), outgoing("b"))

    for _ in range(POISON_AFTER):
        await desk.lease()
        desk.clock.advance(LEASE_MS)
        await desk.recoverer.recover_once()

    last = desk.ledger.records[-1]
    assert [record.outcome for record in desk.ledger.records] == ["lost"] * POISON_AFTER
    assert (last.status, waiting.result().status) == (Status.DEAD, Status.DEAD)
    assert last.fault is not None
    assert last.fault.reason.startswith("given up: 3 workers were lost while they sent it")
    assert (await desk.lease()).message.id == "b"


async def test_an_at_most_once_message_is_never_poison_because_it_is_not_sent_again(desk: Desk) -> None:
    await desk.leased(at_most_once(outgoing("a")))
    desk.clock.advance(LEASE_MS)

    await desk.recoverer.recover_once()

    assert [(record.outcome, record.status) for record in desk.ledger.records] == [("lost", Status.UNCERTAIN)]


async def test_a_lease_lost_while_the_ledger_is_away_is_concluded_later_and_counted_once(desk: Desk) -> None:
    await desk.leased(outgoing("a"))
    desk.clock.advance(LEASE_MS)
    desk.ledger.asleep = True

    with pytest.raises(LedgerError):
        await desk.recoverer.recover_once()
    desk.ledger.asleep = False
    desk.clock.advance(LEASE_MS)
    recovered = await desk.recoverer.recover_once()

    assert recovered == 1
    assert [record.outcome for record in desk.ledger.records] == ["lost"]


async def test_more_than_a_batch_is_recovered_over_several_looks(desk: Desk) -> None:
    await desk.accept(*(outgoing(f"{number:03}", chat_id=number) for number in range(1, BATCH_MAX + 11)))
    await desk.leases(BATCH_MAX)
    await desk.leases(BATCH_MAX)
    desk.clock.advance(LEASE_MS)

    recovered = [await desk.recoverer.recover_once() for _ in range(3)]

    assert recovered == [BATCH_MAX, 10, 0]


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ZeroDivisionError(), ["lease_recovery_failed"]),
        (BrokerUnavailable("away"), []),
        (LedgerError("away"), ["condition_began"]),
    ],
)
async def test_the_recoverer_goes_on_after_a_failure(desk: Desk, error: Exception, logged: list[str]) -> None:
    broker = OnceBroken(error)
    recoverer = Recoverer(
        broker=broker,  # type: ignore[arg-type]
        delivery=desk.delivery,
        worker_id="r",
        interval_ms=1,
        conditions=desk.conditions,
        clock=desk.clock,
    )

    with capture_logs() as logs:
        running = asyncio.create_task(recoverer.run())
        await soon(broker.asked_again)
        running.cancel()

    assert broker.asked == 2
    assert [each["event"] for each in logs] == logged


class OnceBroken:
    """A broker that fails the first time."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def recover(self, **_: object) -> list[object]:
        self.asked += 1
        if self.asked == 1:
            raise self._error
        self.asked_again.set()
        await asyncio.Event().wait()
        return []
