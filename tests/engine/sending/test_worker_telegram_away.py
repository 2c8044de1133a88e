"""What the worker does while Telegram's host fails."""

from __future__ import annotations

import pytest

from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Answer, Failed, Outcome, Rejected, Revoked, Sent, Throttled, Uncertain
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CALLS_MIN, OPEN_MS_MIN, State
from tempogram.engine.sending.outcome_policy import is_host_alive
from tests.engine.desk import Desk, turns, working
from tests.fakes import START_MS, outgoing

REFUSED = Answer(Failed("ConnectionRefusedError"), counted_at_ms=None)


def broken(count: int) -> list[Answer]:
    return [REFUSED] * count


def open_breaker(desk: Desk) -> None:
    for _ in range(CALLS_MIN):
        desk.circuit_breaker.end(desk.circuit_breaker.ask(1), is_alive=False)


async def desk_of_a_host_that_fails(messages: int, *, failures: int) -> Desk:
    desk = Desk(slots=4, retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    desk.transport.answers(*broken(failures))
    await desk.accept(*(outgoing(f"{number:02}", chat_id=number) for number in range(1, messages + 1)))
    return desk


async def test_nothing_is_leased_while_the_breaker_is_open_and_one_message_when_it_is_half_open() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=1_000)

    async with working(desk.worker):
        await turns(200)
        before = len(desk.transport.ids)
        leased = (await desk.broker.stats()).leased
        desk.clock.advance(OPEN_MS_MIN)
        await turns(200)
        after = len(desk.transport.ids)

    assert CALLS_MIN <= before < CALLS_MIN + 4  # four connections: three calls were under way when it opened
    assert leased == 0
    assert after == before + 1


async def test_sending_goes_on_after_a_trial_that_succeeded() -> None:
    desk = await desk_of_a_host_that_fails(30, failures=13)

    async with working(desk.worker):
        for _ in range(10):
            desk.clock.advance(OPEN_MS_MIN)
            await turns(100)

    assert desk.circuit_breaker.state is State.CLOSED
    assert set(desk.ledger.statuses.values()) == {Status.SENT}


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
        for _ in range(80):
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

    assert is_host_alive(attempt.answer) is is_alive


async def test_a_lease_that_is_overdue_says_nothing_of_the_host(desk: Desk) -> None:
    lease = await desk.leased(outgoing("a"))
    desk.clock.now_ms = START_MS + 3_600_000

    attempt = await desk.delivery.call(desk.held(lease))

    assert is_host_alive(attempt.answer) is None
