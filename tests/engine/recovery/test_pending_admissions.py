"""Messages that this process accepted and could not admit to the queue: admitted in order, once, as soon as it can."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import Status
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tests.engine.desk import Desk, turns
from tests.fakes import outgoing


@pytest.fixture
def pending_admissions(desk: Desk) -> PendingAdmissions:
    return PendingAdmissions(
        ledger=desk.ledger, broker=desk.broker, closer=desk.closer, sleep=lambda _: asyncio.sleep(0)
    )


async def test_noted_messages_are_admitted_in_the_order_of_their_ids(
    desk: Desk, pending_admissions: PendingAdmissions
) -> None:
    await desk.ledger.add([outgoing(each) for each in "abc"])
    pending_admissions.note("cab")

    await pending_admissions.admit()

    order = []
    while leases := await desk.leases():
        order += [lease.message.id for lease in leases]
        await desk.send(leases[0])
    assert order == ["a", "b", "c"]
    assert not pending_admissions.is_behind


async def test_noted_messages_are_admitted_by_the_loop_though_nothing_is_submitted(
    desk: Desk, pending_admissions: PendingAdmissions
) -> None:
    await desk.ledger.add([outgoing("a")])
    desk.broker.away_for(3)

    running = asyncio.create_task(pending_admissions.run())
    pending_admissions.note(["a"])
    await turns()
    running.cancel()

    assert await desk.broker.knows(["a"]) == [True]


@pytest.mark.parametrize(("away", "error"), [("broker", BrokerUnavailable), ("ledger", LedgerError)])
async def test_messages_stay_noted_while_queue_or_ledger_is_away(
    desk: Desk, pending_admissions: PendingAdmissions, away: str, error: type[Exception]
) -> None:
    await desk.ledger.add([outgoing("a")])
    pending_admissions.note(["a"])
    desk.broker.asleep, desk.ledger.asleep = away == "broker", away == "ledger"

    with pytest.raises(error):
        await pending_admissions.admit()
    desk.broker.asleep = desk.ledger.asleep = False
    was_behind = pending_admissions.is_behind
    await pending_admissions.admit()

    assert (was_behind, pending_admissions.is_behind) == (True, False)
    assert await desk.broker.knows(["a"]) == [True]


async def test_a_noted_message_that_has_ended_or_is_known_is_not_admitted(
    desk: Desk, pending_admissions: PendingAdmissions
) -> None:
    await desk.accept(outgoing("a"))
    await desk.ledger.add([outgoing("b")])
    desk.ledger.statuses["b"] = Status.SENT
    pending_admissions.note(["a", "b"])

    with capture_logs() as logs:
        await pending_admissions.admit()

    assert await desk.broker.knows(["a", "b"]) == [True, False]
    assert logs == []


async def test_an_edit_that_is_replaced_by_its_late_admission_is_cancelled(
    desk: Desk, pending_admissions: PendingAdmissions
) -> None:
    await desk.ledger.add([outgoing(each, method="editMessageText", replaces="edit:1") for each in "ab"])
    pending_admissions.note("ab")

    await pending_admissions.admit()

    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.QUEUED}
