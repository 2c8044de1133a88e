"""How long a process surely holds a lease."""

from __future__ import annotations

import pytest

from tempogram.engine.model.outcomes import Overdue
from tempogram.engine.sending.heartbeat import Heartbeat
from tempogram.engine.sending.held_lease import HeldLease
from tests.engine.desk import LEASE_MS, Desk
from tests.fakes import outgoing


@pytest.fixture
def heartbeat(desk: Desk) -> Heartbeat:
    return Heartbeat(broker=desk.broker, lease_ms=LEASE_MS, clock=desk.clock)


async def taken(desk: Desk, heartbeat: Heartbeat) -> HeldLease:
    held = desk.held(await desk.leased(outgoing("a")))
    heartbeat.take(held)
    return held


async def test_a_lease_that_was_extended_may_be_written_after_its_first_deadline(
    desk: Desk, heartbeat: Heartbeat
) -> None:
    held = await taken(desk, heartbeat)
    desk.clock.advance(LEASE_MS - 1)
    await heartbeat.beat()

    desk.clock.advance(LEASE_MS - 1)

    assert held.may_write()
    assert held.written_at_ms == desk.clock()


async def test_a_lease_that_could_not_be_extended_ends_at_the_deadline_that_was_confirmed_last(
    desk: Desk, heartbeat: Heartbeat
) -> None:
    held = await taken(desk, heartbeat)
    desk.clock.advance(10_000)
    desk.broker.asleep = True
    is_heard = await heartbeat.beat()

    desk.clock.advance(LEASE_MS - 10_000)

    assert not is_heard
    assert not held.may_write()
    assert held.written_at_ms is None


async def test_a_lease_that_was_lost_is_not_sent_though_its_deadline_has_not_come(
    desk: Desk, heartbeat: Heartbeat
) -> None:
    held = await taken(desk, heartbeat)
    desk.broker.begin_anew()

    await heartbeat.beat()
    attempt = await desk.delivery.call(held)

    assert attempt.outcome == Overdue()
    assert desk.transport.ids == []


async def test_a_lease_whose_delivery_has_ended_is_not_extended(desk: Desk, heartbeat: Heartbeat) -> None:
    heartbeat.let_go(await taken(desk, heartbeat))

    await heartbeat.beat()

    assert desk.broker.extended == []
