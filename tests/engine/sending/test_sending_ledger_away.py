"""What is sent while the ledger is away, and how that ends."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from tempogram.engine.model.messages import Status
from tempogram.engine.resilience.conditions import Condition
from tempogram.engine.sending.worker import UNRECORDED_MAX
from tests.engine.desk import LEASE_MS, Desk, at_most_once, soon, turns, working
from tests.fakes import START_MS, outgoing


async def until_quiet(desk: Desk) -> None:
    """Let tasks run until no more calls are made."""
    called = -1
    while called < len(desk.transport.ids):
        called = len(desk.transport.ids)
        await turns(20)


async def test_more_messages_are_sent_than_there_are_connections() -> None:
    desk = Desk(slots=2)
    desk.ledger_falls_asleep()
    await desk.admit(*(outgoing(f"{number:02}", chat_id=number) for number in range(1, 21)))

    async with working(desk.worker):
        await until_quiet(desk)
        unrecorded, leased = desk.worker.unrecorded, (await desk.broker.stats()).leased
        desk.ledger_wakes_up()
        await turns(100)

    assert (unrecorded, leased) == (20, 20)
    assert len(desk.transport.ids) == 20
    assert {record.status for record in desk.ledger.records} == {Status.SENT}
    assert (await desk.broker.stats()).leased == 0


async def test_leasing_stops_at_the_most_unrecorded_outcomes_and_goes_on_when_they_are_recorded() -> None:
    desk = Desk(slots=10)
    desk.ledger_falls_asleep()
    count = UNRECORDED_MAX + 100
    for start in range(1, count, 50):
        await desk.admit(*(outgoing(f"{number:05}", chat_id=number) for number in range(start, start + 50)))

    async with working(desk.worker):
        await until_quiet(desk)
        sent_meanwhile = len(desk.transport.ids)
        desk.ledger_wakes_up()
        await turns(50)
        await until_quiet(desk)

    assert UNRECORDED_MAX <= sent_meanwhile < UNRECORDED_MAX + 10
    assert len(set(desk.transport.ids)) == count == len(desk.transport.ids)


async def test_a_chat_has_one_message_in_flight_until_its_outcome_is_recorded(desk: Desk) -> None:
    desk.ledger_falls_asleep()
    await desk.admit(outgoing("a"), outgoing("b"))

    async with working(desk.worker):
        await until_quiet(desk)
        meanwhile = list(desk.transport.ids)
        desk.ledger_wakes_up()
        await turns(50)

    assert meanwhile == ["a"]
    assert [record.message_id for record in desk.ledger.records] == ["a", "b"]


async def test_leases_are_extended_for_as_long_as_their_outcomes_are_not_recorded(desk: Desk) -> None:
    desk.ledger_falls_asleep()
    await desk.admit(outgoing("a"))

    async with working(desk.worker):
        await until_quiet(desk)
        for _ in range(9):
            desk.clock.advance(LEASE_MS // 3)
            await turns(20)
        lost = await desk.broker.recover(worker_id="r", slots=1)
        desk.ledger_wakes_up()
        await turns(50)

    assert lost == []
    assert [record.outcome for record in desk.ledger.records] == ["sent"]


async def test_a_ledger_outage_is_logged_once_when_it_begins_and_once_when_it_ends(desk: Desk) -> None:
    desk.ledger_falls_asleep()
    await desk.admit(*(outgoing(f"{number}", chat_id=number) for number in range(1, 9)))

    with capture_logs() as logs:
        async with working(desk.worker):
            await until_quiet(desk)
            held_meanwhile = desk.conditions.holds(Condition.LEDGER_AWAY)
            desk.ledger_wakes_up()
            await turns(100)

    assert held_meanwhile
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_messages_that_cannot_be_marked_take_no_connection_from_others() -> None:
    desk = Desk(slots=2)
    desk.ledger_falls_asleep()
    careful = [at_most_once(outgoing(f"a{number}", chat_id=number)) for number in range(1, 6)]
    await desk.admit(*careful, outgoing("b", chat_id=99))

    async with working(desk.worker):
        await until_quiet(desk)
        meanwhile = list(desk.transport.ids)
        desk.ledger_wakes_up()
        await turns(100)

    assert meanwhile == ["b"]
    assert sorted(desk.transport.ids) == ["a1", "a2", "a3", "a4", "a5", "b"]


async def test_an_expired_message_is_recorded_when_the_ledger_is_back(desk: Desk) -> None:
    desk.ledger_falls_asleep()
    await desk.admit(outgoing("a", expires_at_ms=START_MS + 500, ready_at_ms=START_MS + 900))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        desk.clock.advance(500)
        desk.broker.ring()
        await turns(20)
        desk.ledger_wakes_up()
        await asyncio.sleep(0)
        await turns(20)

    assert desk.ledger.statuses["a"] is Status.EXPIRED
