"""Ledger and schedule compared: what only the ledger knows is scheduled again, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.ids import Ids
from engine.messages import Outgoing, Status
from engine.reconciler import SETTLED_AFTER_MS, Reconciler
from tests.engine_work.desk import Desk
from tests.fakes import outgoing

IDS = Ids()


@pytest.fixture
def reconciler(desk: Desk) -> Reconciler:
    return Reconciler(
        ledger=desk.ledger, broker=desk.broker, replacements=desk.replacements, interval_ms=1_000, clock=desk.clock
    )


def written(desk: Desk) -> Outgoing:
    """Return a message that is in the ledger alone, written now."""
    message = replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    desk.ledger.messages[message.id] = message
    desk.ledger.statuses[message.id] = Status.QUEUED
    return message


async def test_what_only_the_ledger_knows_is_scheduled_again(desk: Desk, reconciler: Reconciler) -> None:
    forgotten = written(desk)
    desk.clock.advance(SETTLED_AFTER_MS + 1)

    found = await reconciler.reconcile_page()

    assert found == 1
    assert await desk.broker.knows([forgotten.id]) == [True]


async def test_what_both_know_is_left_alone(desk: Desk, reconciler: Reconciler) -> None:
    message = replace(outgoing(IDS.new(desk.clock())), submitted_at_ms=desk.clock())
    await desk.dispatcher.submit([message])
    desk.clock.advance(SETTLED_AFTER_MS + 1)

    assert await reconciler.reconcile_page() == 0


async def test_a_message_that_may_still_be_on_its_way_is_left_alone(desk: Desk, reconciler: Reconciler) -> None:
    young = written(desk)
    desk.clock.advance(SETTLED_AFTER_MS - 1)

    assert await reconciler.reconcile_page() == 0
    assert await desk.broker.knows([young.id]) == [False]


async def test_a_message_that_ended_between_the_two_looks_is_not_sent_again(
    desk: Desk, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = written(desk)
    desk.clock.advance(SETTLED_AFTER_MS + 1)
    look = desk.broker.knows

    async def knows(message_ids: list[str]) -> list[bool]:
        desk.ledger.statuses[ended.id] = Status.SENT
        return await look(message_ids)

    monkeypatch.setattr(desk.broker, "knows", knows)

    assert await reconciler.reconcile_page() == 0
    assert await look([ended.id]) == [False]
