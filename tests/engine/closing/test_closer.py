"""Messages that end without being sent: expired, replaced, their target deleted, their bot removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tempogram.engine.closing.closer import Withdrawn
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Fault, Queued, Replaced, Result
from tempogram.engine.resilience.conditions import Condition
from tests.engine.desk import Desk, turns
from tests.fakes import START_MS, outgoing


async def test_an_expired_message_is_recorded_as_expired_without_a_call(desk: Desk) -> None:
    await desk.accept(outgoing("a", attempt=2))

    await desk.closer.record_expired([outgoing("a", attempt=2)])

    (record,) = desk.ledger.records
    assert (record.status, record.attempt, record.outcome) == (Status.EXPIRED, 2, None)
    assert (record.started_at_ms, record.recorded_at_ms) == (None, START_MS)
    assert record.fault == Fault(code=None, reason="its time ran out before its turn came")


async def test_the_result_of_an_expired_message_is_published_after_it_is_recorded(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    await desk.closer.record_expired([outgoing("a")])

    assert waiting.result() == Result("a", Status.EXPIRED, None)
    assert desk.journal == ["record", "publish"]


async def test_what_expires_while_others_are_recorded_is_recorded_together(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, may_record, end_many = list[list[str]](), asyncio.Event(), desk.ledger.end_many

    async def end_later(message_ids: Sequence[str], *, status: Status, fault: Fault, now_ms: int) -> None:
        together.append(list(message_ids))
        await may_record.wait()
        await end_many(message_ids, status=status, fault=fault, now_ms=now_ms)

    monkeypatch.setattr(desk.ledger, "end_many", end_later)
    async with asyncio.TaskGroup() as tasks:
        for message_id in "abc":
            tasks.create_task(desk.closer.record_expired([outgoing(message_id)]))
        await turns()
        may_record.set()

    assert together == [["a"], ["b", "c"]]


async def test_a_message_is_not_sent_at_the_moment_at_which_it_expires(desk: Desk) -> None:
    await desk.accept(outgoing("a", expires_at_ms=START_MS + 500))
    desk.clock.advance(500)

    leased = await desk.broker.lease(worker_id="w", slots=1)

    assert leased.leases == ()
    assert [message.id for message in leased.expired] == ["a"]


async def test_a_replaced_message_is_cancelled_and_its_result_names_the_newer_one(desk: Desk) -> None:
    results = [desk.results.expect("a"), desk.results.expect("c")]

    await desk.closer.record_replaced(
        [outgoing("b"), outgoing("c"), outgoing("d")], [Queued(instead_of=outgoing("a")), Replaced("d"), Queued()]
    )

    assert [each.result() for each in results] == [
        Result("a", Status.CANCELLED, None, replaced_by="b"),
        Result("c", Status.CANCELLED, None, replaced_by="d"),
    ]
    assert [(each.message_id, each.fault) for each in desk.ledger.records] == [
        ("a", Fault(code=None, reason="replaced by b")),
        ("c", Fault(code=None, reason="replaced by d")),
    ]


async def test_an_admission_without_verdicts_replaces_nothing(desk: Desk) -> None:
    await desk.closer.record_replaced([outgoing("a")], ())

    assert desk.journal == []


async def test_a_message_whose_target_was_deleted_is_cancelled(desk: Desk) -> None:
    waiting = desk.results.expect("a")
    await desk.accept(outgoing("a", replaces="edit:1"), outgoing("b", replaces="edit:2"), outgoing("c"))

    await desk.closer.drop(1, 7, ["edit:1", "edit:3"])

    assert waiting.result() == Result("a", Status.CANCELLED, None)
    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.QUEUED, "c": Status.QUEUED}
    assert [each.fault for each in desk.ledger.records] == [
        Fault(code=None, reason="the message it would change was deleted")
    ]


async def test_a_broker_that_is_away_drops_nothing(desk: Desk) -> None:
    await desk.accept(outgoing("a", replaces="edit:1"))
    desk.broker.asleep = True

    await desk.closer.drop(1, 7, ["edit:1"])

    assert desk.ledger.records == []


async def test_a_ledger_that_refuses_an_end_is_asked_again_until_it_records_it(desk: Desk) -> None:
    await desk.accept(outgoing("a"))
    desk.ledger.refused_words = ["record", "record"]

    await desk.closer.record_expired([outgoing("a")])

    assert [record.status for record in desk.ledger.records] == [Status.EXPIRED]
    assert desk.slept == [1.0, 1.0]
    assert not desk.conditions.holds(Condition.LEDGER_AWAY)


async def test_messages_of_a_removed_bot_are_cancelled_though_the_ledger_refuses_at_first(desk: Desk) -> None:
    """Only this process knows of them any more: left to a later round they would wait for the reconciler."""
    await desk.accept(outgoing("a"), outgoing("b", bot_id=2))
    desk.ledger.refused_words = ["record"]

    cleared = await desk.closer.clear_bot(1, before_id="z")

    assert cleared == Withdrawn(ended=1, left=0)
    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.QUEUED}


async def test_messages_of_a_removed_bot_from_an_id_on_and_those_under_way_are_left(desk: Desk) -> None:
    await desk.leased(outgoing("a"))
    await desk.accept(outgoing("b"), outgoing("c"))

    cleared = await desk.closer.clear_bot(1, before_id="c")

    assert cleared == Withdrawn(ended=1, left=1)
    assert desk.ledger.statuses == {"a": Status.QUEUED, "b": Status.CANCELLED, "c": Status.QUEUED}


async def test_a_withdrawn_message_is_forgotten_again_if_a_rebuild_queued_it_before_its_end_was_recorded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = outgoing("a")
    await desk.accept(message)
    record = desk.ledger.record

    async def record_after_a_rebuild(records: list[object]) -> None:
        await desk.broker.admit([message], worker_id="", slots=0)
        await record(records)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.ledger, "record", record_after_a_rebuild)

    cleared = await desk.closer.clear_bot(1, before_id="z")

    assert cleared == Withdrawn(ended=1, left=0)
    assert await desk.broker.knows(["a"]) == [False]
