"""What follows from each of Telegram's answers."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import Hold, Rest, Status
from tempogram.engine.model.outcomes import (
    Answer,
    Failed,
    HalfSent,
    Migrated,
    Outcome,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
)
from tempogram.engine.ports import Fault, Result
from tempogram.engine.ports.results import Progress
from tempogram.engine.recovery.settings_sync import resume_with_token
from tempogram.engine.resilience.backoff import RetryPolicy
from tests.engine.desk import LEASE_MS, Desk, at_most_once, soon, turns
from tests.fakes import START_MS, outgoing

# Sent


async def test_a_message_that_was_sent_is_recorded_with_telegrams_number_and_forgotten(desk: Desk) -> None:
    outcome = await desk.deliver(Sent(99, b"{}"))

    (record,) = desk.ledger.records
    assert outcome == Sent(99, b"{}")
    assert (record.status, record.attempt, record.telegram_message_id) == (Status.SENT, 1, 99)
    assert (record.outcome, record.counted_at_ms, record.fault) == ("sent", START_MS, None)
    assert await desk.broker.knows(["a"]) == [False]


@pytest.mark.parametrize("reply", [Sent(1), Throttled(1_000), Failed("HTTP 502", 502), Rejected(400, "no")])
async def test_an_outcome_is_recorded_before_it_is_settled(desk: Desk, reply: Outcome) -> None:
    await desk.deliver(reply)

    assert desk.journal.index("send") < desk.journal.index("record") < desk.journal.index("settle")


async def test_a_result_is_published_after_its_lease_is_settled(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    await desk.deliver(Sent(99, b"{}"))

    assert waiting.result() == Result("a", Status.SENT, Sent(99, b"{}"))
    assert desk.journal[-2:] == ["settle", "publish"]


async def test_a_caller_learns_that_a_call_is_over_which_an_error_of_ours_ended(desk: Desk) -> None:
    said: list[Progress] = []
    desk.results.expect("a", said.append)

    with pytest.raises(ZeroDivisionError):
        await desk.deliver(ZeroDivisionError())

    assert [each.is_calling for each in said] == [True, False]


async def test_a_result_without_a_waiting_caller_costs_nothing(desk: Desk) -> None:
    gone = desk.results.expect("a")
    desk.results.forget("a", gone)

    await desk.deliver(Sent(99))

    assert desk.results.awaited == 0
    assert not gone.done()


async def test_a_cancelled_caller_does_not_disturb_the_delivery(desk: Desk) -> None:
    gone, still_there = desk.results.expect("a"), desk.results.expect("a")
    gone.cancel()

    await desk.deliver(Sent(99))

    assert still_there.result().status is Status.SENT


@pytest.mark.parametrize("reply", [Throttled(1_000), Migrated(-1_001), Revoked("no"), Failed("reset"), Overdue()])
async def test_an_outcome_that_is_not_final_is_not_published(desk: Desk, reply: Outcome) -> None:
    waiting = desk.results.expect("a")

    await desk.deliver(reply)

    assert not waiting.done()
    assert desk.ledger.statuses["a"] is Status.QUEUED


# Throttled


async def test_telegram_asking_us_to_wait_is_obeyed_to_the_millisecond(desk: Desk) -> None:
    await desk.deliver(Throttled(7_000))

    desk.clock.advance(6_999)
    too_early = await desk.leases()
    desk.clock.advance(1)
    on_time = await desk.leases()

    assert too_early == []
    assert [lease.message.id for lease in on_time] == ["a"]


async def test_being_throttled_spends_no_attempt(desk: Desk) -> None:
    await desk.deliver(Throttled(7_000, "Too Many Requests: retry after 7"))
    desk.clock.advance(7_000)

    lease = await desk.lease()

    assert lease.attempt == 1
    assert desk.ledger.records[0].attempt == 0
    assert desk.ledger.records[0].fault == Fault(code=429, reason="Too Many Requests: retry after 7")


async def test_a_chats_hold_is_written_together_with_the_outcome(desk: Desk) -> None:
    await desk.deliver(Throttled(7_000))

    assert desk.ledger.records[0].hold == Hold(1, 7, START_MS + 7_000)
    assert "hold" not in desk.journal


async def test_two_chats_throttled_at_once_hold_their_bot_and_the_hold_is_written(desk: Desk) -> None:
    await desk.deliver(Throttled(7_000), message=outgoing("a", chat_id=7))
    await desk.deliver(Throttled(9_000), message=outgoing("b", chat_id=8))
    await desk.accept(outgoing("c", chat_id=9))

    desk.clock.advance(8_999)
    too_early = await desk.leases()
    desk.clock.advance(1)
    on_time = await desk.leases()

    assert Hold(1, None, START_MS + 9_000) in await desk.ledger.holds(START_MS)
    assert desk.journal.count("hold") == 1
    assert too_early == []
    assert {lease.message.id for lease in on_time} == {"a", "b", "c"}


@pytest.mark.parametrize("word", ["hold", "pause"])
async def test_a_hold_or_pause_that_the_ledger_refuses_is_written_later(desk: Desk, word: str) -> None:
    reply = Throttled(9_000) if word == "hold" else Revoked("Unauthorized")
    await desk.deliver(Throttled(7_000), message=outgoing("a", chat_id=7))
    desk.ledger.refused_words = [word, word]

    await desk.deliver(reply, message=outgoing("b", chat_id=8))

    assert [each for each in desk.journal if each.startswith(word)][-3:] == [f"{word} refused"] * 2 + [word]
    assert desk.slept == [1.0, 1.0]


# Rejected


@pytest.mark.parametrize("code", [400, 404, 413])
async def test_a_rejected_message_is_dead_with_telegrams_reason(desk: Desk, code: int) -> None:
    await desk.deliver(Rejected(code, "Bad Request: chat not found"))

    (record,) = desk.ledger.records
    assert (record.status, record.fault) == (Status.DEAD, Fault(code=code, reason="Bad Request: chat not found"))
    assert not record.unreachable
    assert await desk.broker.knows(["a"]) == [False]


async def test_a_chat_that_blocked_the_bot_is_recorded_as_unreachable(desk: Desk) -> None:
    reply = Rejected(403, "Forbidden: bot was blocked by the user", unreachable=True)

    await desk.deliver(reply)

    assert desk.ledger.records[0].unreachable == reply.reason


async def test_a_rejection_is_published_to_the_waiting_caller(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    await desk.deliver(Rejected(400, "Bad Request: chat not found"))

    assert waiting.result() == Result("a", Status.DEAD, Rejected(400, "Bad Request: chat not found"))


# Migrated


async def test_a_migrated_group_gets_its_message_under_its_new_id_and_what_waited_too(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=-5), outgoing("b", chat_id=-5))
    desk.transport.answers(Migrated(-1_001))

    await desk.send(await desk.lease())
    first = await desk.lease()
    await desk.send(first)
    second = await desk.lease()

    assert desk.ledger.records[0].migrated_to == -1_001
    assert [(each.message.id, each.message.chat_id) for each in (first, second)] == [("a", -1_001), ("b", -1_001)]
    assert first.attempt == 1


async def test_a_message_submitted_later_for_a_migrated_chats_old_id_goes_to_the_new_one(desk: Desk) -> None:
    await desk.deliver(Migrated(-1_001), message=outgoing("a", chat_id=-5))
    await desk.send(await desk.lease())

    lease = await desk.leased(outgoing("b", chat_id=-5))

    assert lease.message.chat_id == -1_001


# Revoked


async def test_a_revoked_token_pauses_its_bot_and_keeps_its_messages(desk: Desk) -> None:
    await desk.accept(outgoing("b", chat_id=8))
    await desk.deliver(Revoked("Unauthorized"), message=outgoing("a", chat_id=7))
    desk.clock.advance(3_600_000)

    held_back = await desk.leases()
    others = await desk.leased(outgoing("c", bot_id=2))
    await desk.broker.pause(1, paused=False)
    resumed = await desk.leases()

    assert await desk.ledger.paused_bots() == [1]
    assert held_back == []
    assert others.message.bot_id == 2
    assert {(lease.message.id, lease.attempt) for lease in resumed} == {("a", 1), ("b", 1)}


async def test_a_token_replaced_before_the_queue_has_paused_its_bot_resumes_it(
    desk: Desk,
) -> None:
    """The pause of the queue came last, and the ledger knew nothing of it: it was never ended."""
    desk.broker.before_settling = partial(resume_with_token, desk.ledger, desk.broker, 1)

    await desk.deliver(Revoked("Unauthorized"))

    assert await desk.ledger.paused_bots() == []
    assert (await desk.lease()).message.id == "a"


# Failed


@pytest.mark.parametrize("attempt", [1, 2, 3, 4, 5])
async def test_a_failure_waits_with_full_jitter_within_the_span_of_its_attempt(attempt: int) -> None:
    policy = RetryPolicy(delay_ms_min=1_000, delay_ms_max=60_000)
    delays = []
    for _ in range(30):
        desk = Desk(retries=policy)
        await desk.deliver(Failed("HTTP 502", 502), message=outgoing("a", attempt=attempt - 1))
        delays.append(desk.ledger.records[0].ready_at_ms - START_MS)

    span_ms = 1_000 * 2 ** (attempt - 1)

    assert policy.span_ms(attempt) == span_ms
    assert 0 <= min(delays) < span_ms / 2 < max(delays) <= span_ms


async def test_a_failure_is_tried_again_exactly_when_the_ledger_says(desk: Desk) -> None:
    await desk.deliver(Failed("HTTP 502", 502))
    ready_at_ms = desk.ledger.records[0].ready_at_ms

    desk.clock.advance(ready_at_ms - START_MS - 1)
    too_early = await desk.leases()
    desk.clock.advance(1)
    lease = await desk.lease()

    assert too_early == []
    assert lease.attempt == 2


async def test_a_message_that_failed_once_more_than_the_retries_is_dead() -> None:
    desk = Desk(retries=RetryPolicy(retries_max=2, delay_ms_min=0, delay_ms_max=0))
    desk.transport.answers(*[Failed("HTTP 502", 502)] * 3)
    await desk.accept(outgoing("a"))

    for _ in range(3):
        await desk.send(await desk.lease())

    assert [record.status for record in desk.ledger.records] == [Status.QUEUED, Status.QUEUED, Status.DEAD]
    assert [record.attempt for record in desk.ledger.records] == [1, 2, 3]
    assert desk.ledger.records[-1].fault == Fault(code=502, reason="HTTP 502")


async def test_a_failed_message_keeps_its_place_before_those_behind_it() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))
    await desk.accept(outgoing("a"), outgoing("b"))
    desk.transport.answers(Failed("HTTP 502", 502))

    await desk.send(await desk.lease())
    again = await desk.lease()

    assert again.message.id == "a"


# Uncertain


async def test_an_uncertain_message_is_tried_again_by_default() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))

    await desk.deliver(Uncertain("ServerDisconnectedError"))
    again = await desk.lease()

    assert again.attempt == 2
    assert desk.ledger.records[0].outcome == "uncertain"


async def test_an_uncertain_message_that_may_go_at_most_once_is_never_sent_again(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    await desk.deliver(Uncertain("TimeoutError"), message=at_most_once(outgoing("a")))
    desk.clock.advance(3_600_000)

    assert desk.ledger.statuses["a"] is Status.UNCERTAIN
    assert waiting.result().status is Status.UNCERTAIN
    assert await desk.leases() == []
    assert desk.transport.ids == ["a"]


async def test_an_at_most_once_message_is_marked_before_it_is_sent(desk: Desk) -> None:
    await desk.deliver(message=at_most_once(outgoing("a")))

    assert desk.journal == ["add", "mark", "send", "record", "settle", "publish"]


async def test_an_at_most_once_message_that_cannot_be_marked_goes_back_unsent_and_is_sent_once_it_can(
    desk: Desk,
) -> None:
    lease = await desk.leased(at_most_once(outgoing("a")))
    desk.ledger.refused_words = ["mark"]

    await desk.send(lease)
    not_yet = list(desk.journal)
    await desk.send(await desk.lease())

    assert not_yet == ["add", "mark refused", "record", "settle"]
    assert desk.journal[4:] == ["mark", "send", "record", "settle", "publish"]
    assert desk.ledger.statuses["a"] is Status.SENT
    assert [(record.outcome, record.attempt) for record in desk.ledger.records] == [(None, 0), ("sent", 1)]


async def test_an_at_most_once_message_that_certainly_failed_is_tried_again() -> None:
    desk = Desk(retries=RetryPolicy(delay_ms_min=0, delay_ms_max=0))

    await desk.deliver(Failed("ClientConnectorError"), message=at_most_once(outgoing("a")))

    assert (await desk.lease()).attempt == 2


# Overdue


async def test_an_overdue_lease_goes_back_and_spends_neither_an_attempt_nor_a_place() -> None:
    desk = Desk(limits=Limits(chat=Limit(1, 1_000), guard_ms=0))

    await desk.deliver(Overdue())
    again = await desk.lease()

    assert again.attempt == 1
    assert desk.ledger.records[0].counted_at_ms is None


# The window


async def test_a_place_is_free_a_window_after_the_millisecond_in_which_telegram_counted_it() -> None:
    desk = Desk(limits=Limits(chat=Limit(1, 1_000), guard_ms=0))
    lease = await desk.leased(outgoing("a"))
    await desk.accept(outgoing("b"))
    desk.clock.advance(300)
    desk.transport.answers(Answer(Sent(1), counted_at_ms=START_MS + 200))

    await desk.send(lease)
    desk.clock.advance(900)
    too_early = await desk.leases()
    desk.clock.advance(1)
    on_time = await desk.leases()

    assert too_early == []
    assert [lease.message.id for lease in on_time] == ["b"]


# What breaks


async def test_an_outcome_that_the_ledger_refuses_is_written_again_and_settled_only_then(desk: Desk) -> None:
    lease = await desk.leased(outgoing("a"))
    desk.ledger.refused_words = ["record"] * 3

    await desk.send(lease)

    assert desk.journal == ["add", "send", *["record refused"] * 3, "record", "settle", "publish"]
    assert desk.slept == [1.0, 1.0, 1.0]
    assert desk.transport.ids == ["a"]


async def test_while_the_ledger_refuses_the_message_stays_in_flight(desk: Desk) -> None:
    lease = await desk.leased(outgoing("a"))
    await desk.accept(outgoing("b"))
    desk.ledger.refused_words = ["record"] * 1_000
    delivering = asyncio.create_task(desk.send(lease))

    await soon(desk.transport.arrived)
    await turns()

    assert await desk.broker.knows(["a"]) == [True]
    assert await desk.leases() == []
    delivering.cancel()


async def test_a_lease_lost_during_its_call_settles_nothing(desk: Desk) -> None:
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.clock.advance(LEASE_MS)
    await desk.broker.recover(worker_id="r", slots=1)

    await desk.delivery.conclude(attempt)

    assert await desk.broker.knows(["a"]) == [True]
    assert desk.ledger.statuses["a"] is Status.SENT


# Half sent


REST = Rest("sendMediaGroup", b'{"media":[3,4,5]}', cost=3)


async def test_only_the_rest_of_a_half_sent_album_is_sent_after_the_hold(desk: Desk) -> None:
    album = outgoing("a", method="sendMediaGroup", cost=5)

    await desk.deliver(HalfSent(2, REST, Throttled(8_000)), message=album)
    held = await desk.leases()
    desk.clock.advance(8_000)
    again = await desk.lease()

    assert held == []
    assert again.message == REST.of(album)
    assert again.attempt == 1


async def test_the_rest_is_written_with_the_record_and_only_what_arrived_was_counted(desk: Desk) -> None:
    album = outgoing("a", method="sendMediaGroup", cost=5)

    await desk.deliver(HalfSent(2, REST, Throttled(8_000)), message=album)

    (record,) = desk.ledger.records
    assert (record.status, record.outcome, record.delivered_items) == (Status.QUEUED, "halfsent", 2)
    assert (record.rest, record.cost) == (REST, 2)
    assert record.hold is not None
    assert desk.journal.index("record") < desk.journal.index("settle")


async def test_the_rest_of_an_album_is_tried_again_where_a_whole_one_would_be(desk: Desk) -> None:
    album = outgoing("a", method="sendMediaGroup", cost=5)

    await desk.deliver(HalfSent(2, REST, Failed("Bad Request: wrong file identifier", 400)), message=album)
    desk.clock.advance(60_000)

    assert desk.ledger.statuses["a"] is Status.QUEUED
    assert (await desk.lease()).message == REST.of(album)


async def test_an_album_of_which_an_item_can_never_be_sent_is_dead_and_says_what_arrived(desk: Desk) -> None:
    cause = Rejected(400, "Bad Request: WEBPAGE_CURL_FAILED")

    await desk.deliver(HalfSent(2, REST, cause), message=outgoing("a", method="sendMediaGroup", cost=5))

    (record,) = desk.ledger.records
    words = "the first 2 of 5 items were delivered, the others were not: Bad Request: WEBPAGE_CURL_FAILED"
    assert (record.status, record.fault) == (Status.DEAD, Fault(code=400, reason=words))
    assert record.rest == REST  # so a replay sends nothing twice


async def test_a_chat_that_is_lost_in_the_middle_of_an_album_is_lost_for_telegrams_reason(desk: Desk) -> None:
    cause = Rejected(403, BLOCKED, unreachable=True)

    await desk.deliver(HalfSent(2, REST, cause), message=outgoing("a", method="sendMediaGroup", cost=5))

    refused = desk.reachability.refusal(outgoing("b"))
    assert desk.ledger.records[0].unreachable == BLOCKED
    assert refused is not None
    assert refused.reason == BLOCKED


# What was refused


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [
        (Rejected(400, "Bad Request: wrong file identifier"), 1),
        (Throttled(8_000), 1),
        (Migrated(-1_005), 1),
        (Sent(1), 5),
        (Uncertain("no answer"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_of_an_album_that_telegram_refused_as_a_whole_one_place_counts(
    desk: Desk, outcome: Outcome, cost: int
) -> None:
    await desk.deliver(outcome, message=outgoing("a", method="sendMediaGroup", cost=5))

    assert [record.cost for record in desk.ledger.records] == [cost]


# What is learned of chats


async def test_the_first_answer_for_a_name_tells_its_id_and_both_are_one_chat_from_then_on(desk: Desk) -> None:
    await desk.accept(*(outgoing(each, chat_id="@news") for each in "abc"))
    desk.transport.answers(Sent(1, chat_id=-1_001))

    await desk.send(await desk.lease())
    second = await desk.lease()
    beside_it = await desk.leased(outgoing("d", chat_id=8))

    assert desk.ledger.records[0].migrated_to == -1_001
    assert (second.message.id, second.message.chat_id) == ("b", -1_001)
    assert beside_it.message.id == "d"


async def test_an_answer_renames_no_chat_that_was_addressed_by_its_id(desk: Desk) -> None:
    await desk.deliver(Sent(1, chat_id=-1_001), message=outgoing("a", chat_id=-5))

    assert desk.ledger.records[0].migrated_to is None


# A chat that takes nothing


BLOCKED = "Forbidden: bot was blocked by the user"


async def test_what_waits_for_a_chat_that_blocked_the_bot_is_dead_with_the_same_reason_and_not_sent(
    desk: Desk,
) -> None:
    await desk.accept(*(outgoing(each, chat_id=7) for each in "bcd"), outgoing("e", chat_id=8))
    await desk.accept(outgoing("later", chat_id=7, ready_at_ms=START_MS + 60_000))
    waiting = desk.results.expect("d")

    desk.transport.answers(Rejected(403, BLOCKED, unreachable=True))
    await desk.send(await desk.lease())

    dead = {record.message_id: record.fault for record in desk.ledger.records}
    assert dead == dict.fromkeys(("b", "c", "d", "later"), Fault(code=403, reason=BLOCKED))
    assert [record.outcome for record in desk.ledger.records] == ["rejected", None, None, None]
    assert waiting.result().outcome == Rejected(403, BLOCKED, unreachable=True)
    assert [lease.message.id for lease in await desk.leases()] == ["e"]
    assert desk.transport.ids == ["b"]


async def test_a_lease_for_an_unreachable_chat_is_dead_without_a_call(desk: Desk) -> None:
    lease = await desk.leased(outgoing("a", chat_id=7))
    desk.ledger.unreachable = {(1, 7): BLOCKED}
    await desk.reachability.mark_unreachable(1, 7, BLOCKED)

    outcome = await desk.send(lease)

    (record,) = desk.ledger.records
    assert outcome == Rejected(403, BLOCKED)
    assert (record.status, record.outcome, record.attempt) == (Status.DEAD, None, 0)
    assert desk.transport.ids == []


async def test_a_process_that_ends_before_the_ledger_has_a_pause_has_not_paused_the_queue_either(desk: Desk) -> None:
    desk.transport.answers(Revoked("Unauthorized"))
    attempt = await desk.delivery.call(desk.held(await desk.leased(outgoing("a"))))
    desk.ledger.refused_words.append("pause")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await desk.delivery.conclude(attempt)

    await desk.accept(outgoing("b", chat_id=8))
    assert [lease.message.id for lease in await desk.leases()] == ["b"]


async def test_the_alert_for_a_revoked_token_is_logged_once_for_all_calls_in_flight(desk: Desk) -> None:
    await desk.accept(*(outgoing(f"m{chat}", chat_id=chat) for chat in range(1, 5)))
    desk.transport.answers(*[Revoked("Unauthorized")] * 4)
    leases = await desk.leases()

    with capture_logs() as logs:
        for lease in leases:
            await desk.send(lease)

    assert [each["kind"] for each in logs if each["event"] == "alert"] == ["token_revoked"]


async def test_a_valid_token_ends_the_pause_of_a_revoked_one_and_not_an_operators(desk: Desk) -> None:
    await desk.deliver(Revoked("Unauthorized"), message=outgoing("a"))
    await resume_with_token(desk.ledger, desk.broker, 1)
    resumed = await desk.leases()

    await desk.ledger.pause(1, paused=True)
    await desk.broker.pause(1, paused=True)
    await desk.accept(outgoing("b", chat_id=8))
    await resume_with_token(desk.ledger, desk.broker, 1)

    assert [lease.message.id for lease in resumed] == ["a"]
    assert await desk.leases() == []


# What it makes needless


async def test_what_a_sent_message_makes_needless_is_dropped_before_its_caller_goes_on(desk: Desk) -> None:
    desk.makes_needless = lambda message: ["edit:1"] if message.id == "a" else []
    await desk.accept(outgoing("a"))
    lease = await desk.lease()
    await desk.accept(outgoing("b", replaces="edit:1"), outgoing("c", replaces="edit:2"))
    waiting = desk.results.expect("a")
    waiting.add_done_callback(lambda _: statuses.update(desk.ledger.statuses))
    statuses: dict[str, Status] = {}

    desk.transport.answers(Sent(99))
    await desk.send(lease)
    await turns()

    assert statuses == {"a": Status.SENT, "b": Status.CANCELLED, "c": Status.QUEUED}


async def test_a_refused_message_makes_nothing_needless(desk: Desk) -> None:
    desk.makes_needless = lambda _: ["edit:1"]
    await desk.accept(outgoing("a"))
    lease = await desk.lease()
    await desk.accept(outgoing("b", replaces="edit:1"))

    desk.transport.answers(Rejected(400, "no"))
    await desk.send(lease)

    assert desk.ledger.statuses == {"a": Status.DEAD, "b": Status.QUEUED}
