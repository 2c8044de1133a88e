"""How sending ends: nothing stays leased that could be given back."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Failed
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import FAILURES_MIN
from tests.engine.desk import WITHIN_S, Desk, at_most_once, soon, turns, working
from tests.fakes import outgoing


async def finish(desk: Desk, *, within_s: float = 0.0, conclude_s: float = WITHIN_S) -> None:
    await desk.worker.finish(within_s=within_s, conclude_s=conclude_s)


async def test_calls_under_way_are_finished_and_nothing_is_leased_after_it(desk: Desk) -> None:
    desk.transport.close()
    await desk.accept(outgoing("a", chat_id=7), outgoing("b", chat_id=8))

    async with working(desk.worker) as running:
        await soon(desk.transport.arrived)
        finishing = asyncio.create_task(finish(desk, within_s=WITHIN_S))
        await turns()
        await desk.accept(outgoing("c", chat_id=9))
        desk.transport.open()
        await finishing
        await asyncio.wait_for(running, WITHIN_S)

    assert desk.ledger.statuses == {"a": Status.SENT, "b": Status.SENT, "c": Status.QUEUED}
    assert (await desk.broker.stats()).leased == 0


async def test_a_call_that_has_no_answer_in_time_is_uncertain_and_not_leased_any_more() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.close()
    await desk.accept(outgoing("a", chat_id=7), at_most_once(outgoing("b", chat_id=8)))

    async with working(desk.worker) as running:
        await soon(desk.transport.arrived)
        await turns()
        await finish(desk)
        await asyncio.wait_for(running, WITHIN_S)

    outcomes = {record.message_id: (record.outcome, record.status) for record in desk.ledger.records}
    assert outcomes == {"a": ("uncertain", Status.QUEUED), "b": ("uncertain", Status.UNCERTAIN)}
    assert (await desk.broker.stats()).leased == 0
    assert (await desk.lease()).attempt == 2


async def test_calls_that_the_end_cut_off_are_no_evidence_against_telegrams_host() -> None:
    desk = Desk(slots=2 * FAILURES_MIN)
    desk.transport.close()
    await desk.accept(*(outgoing(str(number), chat_id=number) for number in range(1, 2 * FAILURES_MIN)))

    async with working(desk.worker) as running:
        await soon(desk.transport.arrived)
        await turns()
        await finish(desk)
        await asyncio.wait_for(running, WITHIN_S)

    assert [record.outcome for record in desk.ledger.records] == ["uncertain"] * (2 * FAILURES_MIN - 1)
    assert not desk.circuit_breaker.is_open
    assert desk.conditions.current == []


async def test_a_call_that_was_not_made_yet_goes_back_as_it_was(desk: Desk) -> None:
    desk.transport.unpack()
    await desk.accept(outgoing("a", chat_id=7), at_most_once(outgoing("b", chat_id=8)))

    async with working(desk.worker) as running:
        await turns()
        await finish(desk)
        await asyncio.wait_for(running, WITHIN_S)

    assert desk.ledger.statuses == {"a": Status.QUEUED, "b": Status.QUEUED}
    assert [record.outcome for record in desk.ledger.records] == [None, None]
    assert (await desk.broker.stats()).leased == 0
    assert {lease.attempt for lease in await desk.leases()} == {1}


async def test_a_lease_given_in_the_same_moment_goes_back_without_a_call(desk: Desk) -> None:
    await desk.accept(outgoing("a"))

    with desk.worker.reserved(1) as slots:
        slots.leased = await desk.broker.lease(worker_id="w", slots=1)
    await finish(desk)

    assert desk.transport.ids == [] or desk.ledger.statuses["a"] is Status.SENT
    assert (await desk.broker.stats()).leased == 0


async def test_a_lease_given_by_an_admission_after_the_cut_off_goes_back_without_a_call(desk: Desk) -> None:
    await desk.accept(outgoing("a"))

    with desk.worker.reserved(1) as slots:
        await finish(desk)
        slots.leased = await desk.broker.lease(worker_id="w", slots=1)
    await turns()

    assert desk.transport.ids == []
    assert (await desk.broker.stats()).leased == 0


async def test_outcomes_that_the_ledger_refuses_are_left_and_counted_in_one_log_line(desk: Desk) -> None:
    desk.ledger_falls_asleep()
    await desk.admit(*(outgoing(f"{number}", chat_id=number) for number in range(1, 4)))

    with capture_logs() as logs:
        async with working(desk.worker) as running:
            await turns(50)
            await finish(desk, conclude_s=0.01)
            await asyncio.wait_for(running, WITHIN_S)

    left = [each for each in logs if each["event"] == "outcomes_left_unrecorded"]
    assert [each["count"] for each in left] == [3]
    assert (await desk.broker.stats()).leased == 3


async def test_an_idle_worker_finishes_at_once(desk: Desk) -> None:
    async with working(desk.worker) as running:
        await soon(desk.broker.resting)
        await finish(desk, within_s=WITHIN_S)

        await asyncio.wait_for(running, WITHIN_S)

    assert not running.cancelled()


async def test_a_failure_while_it_finishes_goes_back_into_its_lane() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.close()
    desk.transport.answers(Failed("HTTP 502", 502))
    await desk.accept(outgoing("a"))

    async with working(desk.worker) as running:
        await soon(desk.transport.arrived)
        finishing = asyncio.create_task(finish(desk, within_s=WITHIN_S))
        await turns()
        desk.transport.open()
        await finishing
        await asyncio.wait_for(running, WITHIN_S)

    assert desk.transport.ids == ["a"]
    assert (await desk.broker.stats()).leased == 0
