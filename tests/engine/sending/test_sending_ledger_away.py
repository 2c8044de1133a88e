"""What goes on while nothing can be recorded, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Status
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.ledger_retry import retry_write
from tempogram.engine.sending.worker import UNRECORDED_MAX
from tests.engine.desk import LEASE_MS, Desk, at_most_once, soon, turns, working
from tests.fakes import START_MS, outgoing


async def until_quiet(desk: Desk) -> None:
    """Let what can go on go on until nothing is called any more."""
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


async def test_leasing_stops_at_so_many_outcomes_that_are_not_recorded_and_goes_on_when_they_are() -> None:
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


async def test_it_is_told_once_that_the_ledger_is_away_and_once_that_it_is_back(desk: Desk) -> None:
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


async def test_one_write_that_is_refused_is_told_as_long_as_it_is_whatever_others_write() -> None:
    """Each that was taken ended it, and the next refusal began it again: two lines a second."""
    conditions, refusing = Conditions(lambda: 0), asyncio.Event()
    with capture_logs() as logs:
        refused = asyncio.create_task(retry_write(refused_until(refusing), sleep=yielding, conditions=conditions))
        await turns(5)
        await retry_write(taken, conditions=conditions)
        held_meanwhile = conditions.holds(Condition.LEDGER_AWAY)
        refusing.set()
        await refused

    assert held_meanwhile
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_who_gives_up_insisting_sees_nothing_any_more() -> None:
    conditions = Conditions(lambda: 0)
    insisting = asyncio.create_task(retry_write(refused_until(asyncio.Event()), sleep=yielding, conditions=conditions))
    await turns(5)
    held_meanwhile = conditions.holds(Condition.LEDGER_AWAY)

    insisting.cancel()
    await asyncio.gather(insisting, return_exceptions=True)

    assert (held_meanwhile, conditions.current) == (True, [])


async def yielding(_: float) -> None:
    await asyncio.sleep(0)


async def taken() -> None:
    """Be written at once."""


def refused_until(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def write() -> None:
        if not event.is_set():
            raise LedgerError("the disk is full")

    return write


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


async def test_what_expired_is_recorded_when_the_ledger_is_back(desk: Desk) -> None:
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
