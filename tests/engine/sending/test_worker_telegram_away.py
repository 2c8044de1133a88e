"""What the worker does while Telegram's host fails."""

from __future__ import annotations

import pytest

from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Answer, Failed, Outcome, Rejected, Revoked, Sent, Throttled, Uncertain
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import FAILURES_MIN, TRIAL_MS
from tests.engine.desk import Desk, turns, working
from tests.fakes import START_MS, outgoing

REFUSED = Answer(Failed("ConnectionRefusedError"), counted_at_ms=None)


def broken(count: int) -> list[Answer]:
    return [REFUSED] * count


def open_breaker(desk: Desk) -> None:
    for number in range(FAILURES_MIN):
        desk.circuit_breaker.end(desk.circuit_breaker.ask(1), number, 7, is_alive=False)


async def desk_of_a_host_that_fails(messages: int, *, failures: int) -> Desk:
    """Return a desk of three bots, with so many messages in all, each to a chat of its own."""
    desk = Desk(slots=4, retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.answers(*broken(failures))
    numbers = range(1, messages + 1)
    await desk.accept(*(outgoing(f"{number:02}", bot_id=number % 3 + 1, chat_id=number) for number in numbers))
    return desk


async def pass_seconds(desk: Desk, count: int) -> list[int]:
    """Let time pass; return how many calls were made in each second."""
    calls = []
    for _ in range(count):
        before = len(desk.transport.ids)
        for _ in range(4):
            desk.clock.advance(TRIAL_MS // 4)
            desk.broker.ring()
            await turns(100)
        calls.append(len(desk.transport.ids) - before)
    return calls


async def test_nothing_is_leased_while_the_breaker_is_open_but_a_trial_a_second() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=1_000)

    async with working(desk.worker):
        await turns(200)
        before = len(desk.transport.ids)
        leased = (await desk.broker.stats()).leased
        calls = await pass_seconds(desk, 40)

    # Four connections: three calls were under way when it opened. The first trial is made at once.
    assert FAILURES_MIN < before <= FAILURES_MIN + 4
    assert leased == 0
    assert max(calls) == 1


async def test_a_trial_that_hangs_does_not_delay_the_next() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=13)

    async with working(desk.worker):
        await turns(200)
        desk.transport.close()
        calls = await pass_seconds(desk, 3)

    assert calls == [1, 1, 1]


async def test_a_host_that_is_back_is_sent_to_within_the_time_between_two_trials() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=13)

    async with working(desk.worker):
        await turns(200)
        is_open = desk.circuit_breaker.is_open
        desk.transport.script.clear()
        await pass_seconds(desk, 1)

    assert is_open
    assert not desk.circuit_breaker.is_open
    assert set(desk.ledger.statuses.values()) == {Status.SENT}


async def test_no_bot_is_failing_because_the_host_is_away() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=1_000)

    async with working(desk.worker):
        await turns(200)
        await pass_seconds(desk, 60)
        failing = (await desk.broker.stats()).failing
        desk.transport.script.clear()
        await pass_seconds(desk, 2)

    assert failing == {}
    assert set(desk.ledger.statuses.values()) == {Status.SENT}


async def test_a_trial_for_which_nothing_waits_is_made_when_something_comes() -> None:
    desk = Desk()
    open_breaker(desk)

    async with working(desk.worker):
        await pass_seconds(desk, 2)
        await desk.accept(outgoing("a"))
        desk.broker.ring()
        await turns()

    assert desk.transport.ids == ["a"]


async def test_a_dispatcher_may_not_send_at_once_while_the_breaker_is_open() -> None:
    desk = await desk_of_a_host_that_fails(10, failures=1_000)

    async with working(desk.worker):
        await turns(200)
        with desk.worker.reserved(5) as slots:
            count = slots.count

    assert count == 0


async def test_a_call_that_could_not_be_made_spends_no_attempt_while_the_breaker_is_open(desk: Desk) -> None:
    open_breaker(desk)

    await desk.deliver(REFUSED)
    desk.clock.advance(1_000)

    assert desk.ledger.records[0].attempt == 0
    assert (await desk.lease()).attempt == 1


async def test_a_call_that_could_not_be_made_spends_an_attempt_while_others_can(desk: Desk) -> None:
    await desk.deliver(REFUSED)

    assert desk.ledger.records[0].attempt == 1


async def test_messages_outlive_an_outage_that_is_longer_than_all_their_retries() -> None:
    desk = await desk_of_a_host_that_fails(20, failures=60)

    async with working(desk.worker):
        for _ in range(120):
            desk.clock.advance(30_000)
            desk.broker.ring()
            await turns(50)

    assert set(desk.ledger.statuses.values()) == {Status.SENT}


async def test_a_call_that_may_have_arrived_spends_an_attempt_even_then() -> None:
    desk = Desk()
    open_breaker(desk)

    await desk.deliver(Uncertain("TimeoutError"))

    assert desk.ledger.records[0].attempt == 1


@pytest.mark.parametrize(
    ("reply", "is_alive"),
    [
        (Sent(1), True),
        (Throttled(1_000), True),
        (Rejected(400, "no"), True),
        (Revoked("no"), True),
        (Failed("the bot got another token", 401), True),
        (Failed("HTTP 502", 502), False),
        (Uncertain("TimeoutError"), False),
        (REFUSED, False),
        (Answer(Failed("the ledger could not be read", is_ours=True), None), None),
        (Answer(Rejected(400, "its file is gone"), None), None),
    ],
)
async def test_any_answer_of_telegrams_shows_that_its_host_is_there(
    desk: Desk,
    reply: Outcome | Answer,
    is_alive: bool | None,  # noqa: FBT001 - pytest names it
) -> None:
    desk.transport.answers(reply)

    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))

    assert attempt.is_alive is is_alive


async def test_a_lease_that_is_overdue_says_nothing_of_the_host(desk: Desk) -> None:
    lease = await desk.leased(outgoing("a"))
    desk.clock.now_ms = START_MS + 3_600_000

    attempt = await desk.delivery.call(desk.held(lease))

    assert attempt.is_alive is None
