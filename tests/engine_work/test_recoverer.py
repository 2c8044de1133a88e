"""Who finds messages whose worker is gone, and who finds those that only the ledger knows."""

from __future__ import annotations

import asyncio

from engine.messages import Status
from engine.ports.broker import BATCH_MAX
from engine.recoverer import Recoverer
from engine.retry import RetryPolicy
from tests.engine_work.desk import LEASE_MS, Desk, at_most_once, soon
from tests.fakes import outgoing


async def test_a_lease_that_ran_out_is_tried_again_and_has_spent_an_attempt() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    await desk.leased(outgoing("a"))
    desk.clock.advance(LEASE_MS)

    recovered = await desk.recoverer.recover_once()
    again = await desk.lease()

    assert recovered == 1
    assert again.attempt == 2
    assert desk.ledger.records[0].outcome == "uncertain"


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
    lease = await desk.leased(outgoing("a"))
    desk.clock.advance(LEASE_MS)
    await desk.recoverer.recover_once()

    await desk.delivery.deliver(lease)

    assert await desk.broker.knows(["a"]) == [True]


async def test_more_than_a_batch_is_recovered_over_several_looks(desk: Desk) -> None:
    await desk.accept(*(outgoing(f"{number:03}", chat_id=number) for number in range(1, BATCH_MAX + 11)))
    await desk.leases(BATCH_MAX)
    await desk.leases(BATCH_MAX)
    desk.clock.advance(LEASE_MS)

    recovered = [await desk.recoverer.recover_once() for _ in range(3)]

    assert recovered == [BATCH_MAX, 10, 0]


async def test_the_recoverer_goes_on_after_a_failure(desk: Desk) -> None:
    broker = OnceBroken()
    recoverer = Recoverer(
        broker=broker,  # type: ignore[arg-type]
        delivery=desk.delivery,
        worker_id="r",
        interval_ms=1,
        clock=desk.clock,
    )

    running = asyncio.create_task(recoverer.run())
    await soon(broker.asked_again)
    running.cancel()

    assert broker.asked == 2


class OnceBroken:
    """A broker that fails the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def recover(self, **_: object) -> list[object]:
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError
        self.asked_again.set()
        await asyncio.Event().wait()
        return []
