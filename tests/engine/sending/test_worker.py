"""The loop that leases messages for free connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import ACTIVE_MS
from tempogram.engine.model.batching import batches
from tempogram.engine.model.messages import Priority, Status
from tempogram.engine.model.outcomes import Failed, Throttled
from tempogram.engine.ports import Record
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.sending.worker import EXPIRED_UNRECORDED_MAX, PAUSE_AFTER_ERROR_MS
from tests.engine.desk import LEASE_MS, WITHIN_S, Desk, soon, turns, working
from tests.fakes import START_MS, outgoing


async def pass_time(desk: Desk, ms: int) -> None:
    """Let time pass, and wake the worker as the queue would."""
    desk.clock.advance(ms)
    desk.broker.ring()
    await turns(40)


async def test_a_waiting_message_is_sent(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=8))

    async with working(desk.worker):
        await soon(desk.broker.resting)

    assert sorted(desk.transport.ids) == ["a", "b"]
    assert desk.ledger.statuses == {"a": Status.SENT, "b": Status.SENT}


async def test_nothing_is_sent_while_leases_come_from_another_queue(desk: Desk) -> None:
    await desk.accept(outgoing("a"))
    worker = desk.new_worker(slots=1, is_source=lambda: False)

    async with working(worker):
        await turns(40)

    assert desk.transport.ids == []
    assert desk.ledger.statuses == {"a": Status.QUEUED}


async def test_there_are_never_more_leases_than_connections() -> None:
    desk = Desk(slots=2)
    desk.transport.close()
    await desk.accept(*(outgoing(str(number), chat_id=number) for number in range(1, 10)))

    async with working(desk.worker):
        await soon(desk.transport.arrived)
        await turns(100)
        leased = (await desk.broker.stats()).leased
        desk.transport.open()
        await soon(desk.broker.resting)

    assert leased == 2
    assert desk.broker.slots_asked[0] == 2
    assert len(desk.transport.ids) == 9


async def test_a_worker_sleeps_until_the_exact_time_at_which_it_can_go_on(desk: Desk) -> None:
    desk.transport.answers(Throttled(7_000))
    await desk.accept(outgoing("a"))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        waited_until_ms = desk.broker.waits[-1]
        await pass_time(desk, 7_000)

    assert waited_until_ms == START_MS + 7_000
    assert desk.transport.ids == ["a", "a"]


async def test_an_idle_worker_waits_to_be_woken_and_asks_nothing_meanwhile(desk: Desk) -> None:
    async with working(desk.worker):
        await soon(desk.broker.resting)
        asked = len(desk.broker.slots_asked)
        await turns(200)

        assert desk.broker.waits == [None]
        assert len(desk.broker.slots_asked) == asked


async def test_a_spaced_bot_is_woken_for_each_of_its_places() -> None:
    desk = Desk(limits=Limits(ceiling=Limit(0, 1), bot=Limit(10, 1_000), saved_up=1, guard_ms=0))
    await desk.accept(*(outgoing(str(number), chat_id=number) for number in range(1, 4)))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        await pass_time(desk, 100)
        await pass_time(desk, 100)

    wakes = [until_ms for until_ms in dict.fromkeys(desk.broker.waits) if until_ms is not None]
    assert wakes[:2] == [START_MS + 100, START_MS + 200]
    assert len(desk.transport.ids) == 3


async def test_stopping_leases_nothing_more_and_finishes_deliveries_under_way(desk: Desk) -> None:
    desk.transport.close()
    await desk.accept(outgoing("a"))

    async with working(desk.worker) as task:
        await soon(desk.transport.arrived)
        desk.worker.stop()
        await desk.accept(outgoing("b", chat_id=8))
        await turns()
        was_running = not task.done()
        desk.transport.open()
        await asyncio.wait_for(task, WITHIN_S)

    assert was_running
    assert desk.ledger.statuses == {"a": Status.SENT, "b": Status.QUEUED}
    with desk.worker.reserved(1) as slots:
        assert slots.count == 0


async def test_stopping_ends_a_sleep_at_once(desk: Desk) -> None:
    async with working(desk.worker) as task:
        await soon(desk.broker.resting)
        desk.worker.stop()

        await asyncio.wait_for(task, WITHIN_S)

    assert not task.cancelled()


async def test_a_sleeping_worker_that_is_cancelled_ends(desk: Desk) -> None:
    """It took its own cancellation for that of its sleep, and slept on: a program with a stuck handler never ended."""
    task = asyncio.create_task(desk.worker.run())
    await soon(desk.broker.resting)

    task.cancel()
    await asyncio.wait([task], timeout=WITHIN_S)

    assert task.cancelled()


async def test_an_exception_in_a_delivery_leaves_its_lease_to_the_recoverer(desk: Desk) -> None:
    desk.transport.answers(ZeroDivisionError("ours"))
    await desk.accept(outgoing("a"))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        leased = (await desk.broker.stats()).leased
        desk.clock.advance(LEASE_MS)
        recovered = await desk.recoverer.recover_once()

    assert leased == 1
    assert recovered == 1
    with desk.worker.reserved(99) as slots:
        assert slots.count == 0  # it has stopped
    assert [record.outcome for record in desk.ledger.records] == ["lost"]


async def test_an_exception_in_a_delivery_gives_its_connection_back() -> None:
    desk = Desk(slots=1)
    desk.transport.answers(ZeroDivisionError("ours"))
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=8))

    async with working(desk.worker):
        await soon(desk.broker.resting)

    assert desk.transport.ids == ["a", "b"]


async def test_a_heartbeat_extends_the_leases_of_calls_under_way(desk: Desk) -> None:
    desk.transport.close()
    await desk.accept(outgoing("a"))

    async with working(desk.worker):
        await soon(desk.transport.arrived)
        desk.clock.advance(LEASE_MS // 3)
        await soon(desk.broker.extending)
        desk.clock.advance(LEASE_MS - 1)
        lost = await desk.broker.recover(worker_id="r", slots=1)
        desk.transport.open()

    assert {lease.message.id for lease in desk.broker.extended} == {"a"}
    assert lost == []


async def test_a_heartbeat_asks_each_second_while_the_broker_is_away_and_says_nothing(desk: Desk) -> None:
    desk.transport.close()
    await desk.accept(outgoing("a"))

    with capture_logs() as logs:
        async with working(desk.worker):
            await soon(desk.transport.arrived)
            desk.broker.asleep = True
            desk.broker.ring()
            desk.clock.advance(LEASE_MS // 3)
            await turns()
            for _ in range(3):
                desk.clock.advance(1_000)
                await turns()
            asked = len(desk.broker.extended)
            desk.broker.asleep = False
            desk.clock.advance(1_000)
            await turns()
            desk.transport.open()

    assert asked == 4
    assert logs == []


async def test_a_broker_that_is_away_is_asked_each_second_and_nothing_is_logged(desk: Desk) -> None:
    await desk.accept(outgoing("a"))
    desk.broker.asleep = True

    with capture_logs() as logs:
        async with working(desk.worker):
            await turns(50)
            for _ in range(3):
                desk.clock.advance(PAUSE_AFTER_ERROR_MS)
                await turns(50)
            asked = desk.broker.asked
            desk.broker.asleep = False
            desk.clock.advance(PAUSE_AFTER_ERROR_MS)
            await turns(50)

    assert asked == 4
    assert desk.transport.ids == ["a"]
    assert logs == []


async def test_a_wait_that_fails_is_repeated_only_after_a_pause(desk: Desk) -> None:
    """The error of the wait was lost, and the loop went round as fast as it could."""
    desk.broker.is_deaf = True

    async with working(desk.worker):
        await turns(200)
        asked = len(desk.broker.slots_asked)
        desk.clock.advance(PAUSE_AFTER_ERROR_MS)
        await turns(50)
        asked_later = len(desk.broker.slots_asked)

    assert (asked, asked_later) == (1, 2)


async def test_a_message_leased_again_while_its_first_delivery_hangs_costs_no_connection() -> None:
    """Both were kept under the message's id: the second to end found nothing, and its connection was lost for good."""
    desk = Desk(slots=2, retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.close()
    await desk.accept(outgoing("a"))

    async with working(desk.worker):
        await soon(desk.transport.arrived)
        desk.clock.advance(LEASE_MS)
        await desk.recoverer.recover_once()
        await turns()
        desk.transport.open()
        await soon(desk.broker.resting)
        await turns()
        with desk.worker.reserved(99) as slots:
            free = slots.count

    assert desk.transport.ids == ["a", "a"]
    assert free == 2


async def test_a_lease_whose_answer_came_after_its_end_is_not_sent(desk: Desk) -> None:
    """A frozen process would take a late answer for a fresh one: the deadline counts from the question."""
    await desk.accept(outgoing("a"))

    with desk.worker.reserved(1) as slots:
        slots.leased = await desk.broker.lease(worker_id="w", slots=1)
        desk.clock.advance(LEASE_MS)
    await turns()

    assert desk.transport.ids == []
    assert [record.outcome for record in desk.ledger.records] == ["overdue"]


async def test_a_message_that_expired_while_it_waited_is_recorded_and_not_sent(desk: Desk) -> None:
    waiting = desk.results.expect("a")
    await desk.accept(outgoing("a", expires_at_ms=START_MS + 500, ready_at_ms=START_MS + 900))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        await pass_time(desk, 500)

    assert desk.transport.ids == []
    assert desk.ledger.statuses["a"] is Status.EXPIRED
    assert waiting.result().status is Status.EXPIRED


async def test_a_backlog_that_expires_is_taken_out_of_the_queue_no_faster_than_the_ledger_records_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, may_record, record = 3 * EXPIRED_UNRECORDED_MAX, asyncio.Event(), desk.ledger.record

    async def record_later(records: Sequence[Record]) -> None:
        await may_record.wait()
        await record(records)

    monkeypatch.setattr(desk.ledger, "record", record_later)
    ids = [f"m{number:04}" for number in range(count)]
    for batch in batches(ids, BATCH_MAX):
        await desk.accept(*(outgoing(each, chat_id=int(each[1:]) + 1, expires_at_ms=START_MS) for each in batch))

    async with working(desk.worker):
        for _ in range(40):
            await pass_time(desk, 1)
        taken_out = count - sum([(await desk.broker.knows([each]))[0] for each in ids])
        may_record.set()
        for _ in range(40):
            await pass_time(desk, 1)

    assert EXPIRED_UNRECORDED_MAX <= taken_out < EXPIRED_UNRECORDED_MAX + 2 * BATCH_MAX
    assert set(desk.ledger.statuses.values()) == {Status.EXPIRED}
    assert desk.transport.ids == []


async def test_a_ledger_that_refuses_an_expired_message_does_not_end_the_worker(desk: Desk) -> None:
    """It did: the error came out of the loop, and nothing was sent any more."""
    desk.ledger.refused_words = ["record", "record"]
    await desk.accept(outgoing("a", expires_at_ms=START_MS + 500, ready_at_ms=START_MS + 900))

    async with working(desk.worker) as task:
        await soon(desk.broker.resting)
        await pass_time(desk, 500)
        await desk.accept(outgoing("b", chat_id=8))
        await pass_time(desk, 1)
        is_alive = not task.done()

    assert is_alive
    assert desk.ledger.statuses == {"a": Status.EXPIRED, "b": Status.SENT}


async def test_a_reply_overtakes_a_bulk_backlog() -> None:
    desk = Desk(limits=Limits(ceiling=Limit(0, 1), bot=Limit(10, 1_000), saved_up=1, guard_ms=0))
    bulk = [outgoing(f"b{number}", chat_id=number, priority=Priority.LOW) for number in range(1, 9)]
    await desk.accept(*bulk)

    async with working(desk.worker):
        await soon(desk.broker.resting)
        await desk.accept(outgoing("reply", chat_id=99, priority=Priority.HIGH))
        await pass_time(desk, 0)

    assert desk.transport.ids == ["b1", "reply"]


async def test_messages_of_one_chat_leave_in_their_order_over_retries() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.answers(Failed("HTTP 500", 500), Failed("HTTP 500", 500))
    await desk.accept(*(outgoing(each) for each in "abc"))

    async with working(desk.worker):
        await soon(desk.broker.resting)
        await turns(60)

    assert desk.transport.ids == ["a", "a", "a", "b", "c"]


@asynccontextmanager
async def beside_a_bot_that_hangs() -> AsyncIterator[Desk]:
    """Yield an engine with 8 connections: bot 1 has as many as it gets for 8 normal messages, and bot 2 is idle."""
    desk = Desk(slots=8)
    await desk.accept(*(outgoing(f"hello{bot_id}", bot_id=bot_id) for bot_id in (1, 2)))
    async with working(desk.worker):
        await turns(40)
        desk.transport.close()
        await desk.accept(*(outgoing(f"bulk{chat_id}", bot_id=1, chat_id=chat_id) for chat_id in range(1, 9)))
        await turns(100)
        yield desk


async def test_a_bot_whose_calls_hang_leaves_connections_to_the_others() -> None:
    async with beside_a_bot_that_hangs() as desk:
        sent = len(desk.transport.ids) - 2
        await desk.accept(outgoing("urgent", bot_id=2, priority=Priority.HIGH))
        await turns(40)

    assert sent == 4
    assert desk.transport.ids[-1] == "urgent"


async def test_a_worker_that_keeps_connections_for_other_bots_asks_nothing_meanwhile() -> None:
    async with beside_a_bot_that_hangs() as desk:
        asked = len(desk.broker.slots_asked)
        await turns(200)

        assert len(desk.broker.slots_asked) == asked
        assert desk.broker.waits[-1] == (desk.clock() // ACTIVE_MS + 1) * ACTIVE_MS  # then shares may be others


async def test_a_connection_that_is_free_again_is_used_before_the_answer_is_recorded() -> None:
    async with beside_a_bot_that_hangs() as desk:
        desk.ledger_falls_asleep()
        desk.transport.open()
        await turns(200)
        sent = len(desk.transport.ids) - 2
        desk.ledger_wakes_up()

    assert sent == 8


async def test_what_a_submission_has_set_aside_and_not_used_is_used_by_what_waits() -> None:
    async with beside_a_bot_that_hangs() as desk:
        with desk.worker.reserved(4):
            await desk.accept(outgoing("urgent", bot_id=2, priority=Priority.HIGH))
            await turns(40)
            sent = "urgent" in desk.transport.ids
        await turns(40)

    assert not sent
    assert desk.transport.ids[-1] == "urgent"
