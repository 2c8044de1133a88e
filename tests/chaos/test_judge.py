"""The judge finds nothing in a run in which all went well, and finds each kind of broken promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.chaos.evidence import (
    Act,
    Arrival,
    Disturbance,
    Evidence,
    MessageEnd,
    Promised,
    SlowScript,
    Terms,
    Violation,
)
from tests.chaos.judge import Judgement, judge

TERMS = Terms(
    bot_limit=3,
    bot_window_ms=1_000,
    group_limit=2,
    group_window_ms=5_000,
    private_window_ms=1_000,
    private_burst=3,
    total_limit=5,
    total_window_ms=1_000,
    in_flight_max=2,
    senders=2,
    timeout_ms=2_000,
    lease_ms=4_000,
)


def promised(number: int, **details: object) -> Promised:
    usual = {"ids": frozenset({f"id-{number}"}), "bot_id": 1, "chat_id": 7, "text": f"low {number}", "lane": "low"}
    return Promised(**{**usual, "number": number, **details})  # type: ignore[arg-type]


def arrival(number: int, at_ms: float, **details: object) -> Arrival:
    usual = {"bot_id": 1, "chat_id": 7, "text": f"low {number}", "code": 200}
    return Arrival(**{**usual, "at_ms": at_ms, **details})  # type: ignore[arg-type]


def evidence(
    messages: Sequence[Promised], arrivals: Sequence[Arrival], statuses: dict[int, str] | None = None, **more: object
) -> Evidence:
    ended = {message.message_id: MessageEnd("sent") for message in messages}
    ended |= {f"id-{number}": MessageEnd(status) for number, status in (statuses or {}).items()}
    usual = {"ended": ended, "violations": (), "disturbances": (), "terms": TERMS}
    return Evidence(promised=messages, arrivals=arrivals, **{**usual, **more})  # type: ignore[arg-type]


def broken(judgement: Judgement) -> list[str]:
    return [promise.said for promise in judgement.promises if not promise.holds]


def test_a_run_in_which_all_went_well_breaks_no_promise() -> None:
    messages = [promised(number) for number in range(6)]
    arrivals = [arrival(0, 100_000), arrival(1, 101_000)]
    statuses = {2: "dead", 3: "cancelled", 4: "expired", 5: "uncertain"}

    judgement = judge(evidence(messages, arrivals, statuses))

    assert broken(judgement) == []
    assert judgement.balance == {"sent": 2, "dead": 1, "cancelled": 1, "expired": 1, "uncertain": 1}


def test_a_message_that_still_waits_is_lost() -> None:
    judgement = judge(evidence([promised(0)], [], {0: "queued"}))

    assert [message.number for message in judgement.lost] == [0]
    assert len(broken(judgement)) == 2, "nor does the balance hold"


def test_a_message_is_lost_that_the_ledger_calls_sent_and_telegram_never_saw() -> None:
    refused = arrival(0, 100_000, code=429)

    judgement = judge(evidence([promised(0)], [refused], {0: "sent"}))

    assert [message.number for message in judgement.lost] == [0]


def test_a_message_that_is_not_in_the_ledger_is_lost() -> None:
    judgement = judge(evidence([promised(0)], [], ended={}))

    assert judgement.lost


def test_a_message_that_arrived_though_the_ledger_calls_it_dead_is_found() -> None:
    judgement = judge(evidence([promised(0)], [arrival(0, 100_000)], {0: "dead"}))

    assert [message.number for message in judgement.recorded_unsent] == [0]


def test_a_message_may_die_after_its_answer_was_withheld() -> None:
    judgement = judge(evidence([promised(0)], [arrival(0, 100_000, lost="reset_after")], {0: "dead"}))

    assert broken(judgement) == []


def test_an_arrival_that_was_not_submitted_is_found() -> None:
    judgement = judge(evidence([], [arrival(0, 100_000)]))

    assert len(judgement.unsubmitted) == 1
    assert broken(judgement)


def test_a_key_that_was_accepted_as_two_messages_is_found() -> None:
    judgement = judge(evidence([promised(0, ids=frozenset({"id-0", "id-9"}))], [arrival(0, 100_000)]))

    assert judgement.accepted_twice
    assert broken(judgement)


def test_a_duplicate_without_a_cause_is_found() -> None:
    judgement = judge(evidence([promised(0)], [arrival(0, 100_000), arrival(0, 105_000)]))

    assert [duplicate.cause for duplicate in judgement.duplicates] == [None]
    assert len(broken(judgement)) == 1


def test_a_duplicate_after_a_withheld_answer_has_that_cause() -> None:
    judgement = judge(evidence([promised(0)], [arrival(0, 100_000, lost="hang"), arrival(0, 105_000)]))

    assert broken(judgement) == []


def test_a_duplicate_of_an_attempt_recorded_as_uncertain_has_that_cause() -> None:
    ended = {"id-0": MessageEnd("sent", ("uncertain", "sent"))}

    judgement = judge(evidence([promised(0)], [arrival(0, 100_000), arrival(0, 105_000)], ended=ended))

    assert broken(judgement) == []


def test_a_duplicate_is_explained_by_a_kill_at_that_moment_and_not_by_one_before_or_after() -> None:
    arrivals = [arrival(0, 100_000), arrival(0, 105_000)]
    kill = Disturbance(Act.KILLED, "worker-1", 100_020, 100_020)
    before, after = replace(kill, from_ms=99_000, until_ms=99_000), replace(kill, from_ms=102_000, until_ms=102_000)

    assert broken(judge(evidence([promised(0)], arrivals, disturbances=[kill]))) == []
    assert broken(judge(evidence([promised(0)], arrivals, disturbances=[before, after]))) != []


def test_more_duplicates_than_a_process_had_calls_under_way_are_found() -> None:
    kill = Disturbance(Act.KILLED, "worker-1", 100_050, 100_050)
    firsts = [arrival(number, 100_000 + number) for number in range(3)]
    again = [arrival(number, 105_000 + number) for number in range(3)]
    messages = [promised(number) for number in range(3)]

    judgement = judge(evidence(messages, firsts + again, disturbances=[kill]))

    assert judgement.over_bound == {kill: 3}
    assert len(broken(judgement)) == 1


def test_a_process_killed_without_its_ledger_may_repeat_all_that_it_sent_meanwhile() -> None:
    silent = Disturbance(Act.POSTGRES_SILENT, "worker-1", 100_000, 102_000)
    kill = Disturbance(Act.KILLED, "worker-1", 101_900, 101_900)
    firsts = [arrival(number, 100_000 + number) for number in range(3)]
    again = [arrival(number, 105_000 + number) for number in range(3)]
    messages = [promised(number) for number in range(3)]

    killed = judge(evidence(messages, firsts + again, disturbances=[silent, kill]))
    another = judge(evidence(messages, firsts + again, disturbances=[silent, replace(kill, target="worker-2")]))

    assert killed.over_bound == {}
    assert another.over_bound == {silent: 3}


def test_an_at_most_once_message_that_arrived_twice_is_found_even_with_a_cause() -> None:
    messages = [promised(0, is_at_most_once=True)]

    judgement = judge(evidence(messages, [arrival(0, 100_000, lost="reset_after"), arrival(0, 105_000)]))

    assert judgement.repeated_at_most_once == messages
    assert len(broken(judgement)) == 1


def test_a_window_broken_without_duplicates_stands() -> None:
    full = [arrival(number, 100_000 + number) for number in range(3)]
    violation = Violation(window="bot", at_ms=100_500, bot_id=1, chat_id=8)

    judgement = judge(evidence([promised(number) for number in range(3)], full, violations=[violation]))

    assert judgement.standing == [violation]
    assert broken(judgement)


def test_a_window_that_only_duplicates_filled_is_counted_apart() -> None:
    arrivals = [
        arrival(0, 98_000, lost="hang"),
        arrival(0, 100_000),
        arrival(1, 100_001),
        arrival(2, 100_002),
    ]
    violation = Violation(window="bot", at_ms=100_500, bot_id=1, chat_id=8)

    judgement = judge(evidence([promised(number) for number in range(3)], arrivals, violations=[violation]))

    assert judgement.explained == [violation]
    assert broken(judgement) == []


def test_a_duplicate_that_is_itself_refused_is_counted_apart() -> None:
    arrivals = [
        arrival(0, 99_000, lost="hang"),
        arrival(1, 100_000),
        arrival(2, 100_001),
        arrival(3, 100_002),
        arrival(0, 100_500, code=429),
    ]
    violation = Violation(window="bot", at_ms=100_500, bot_id=1, chat_id=7)

    judgement = judge(evidence([promised(number) for number in range(4)], arrivals, violations=[violation]))

    assert judgement.explained == [violation]


def test_windows_of_other_bots_chats_and_times_do_not_count() -> None:
    arrivals = [
        arrival(0, 90_000),
        arrival(1, 100_000, chat_id=-5),
        arrival(2, 100_001, bot_id=2, chat_id=-7),
        arrival(3, 100_002, chat_id=-7),
    ]
    violation = Violation(window="group", at_ms=100_500, bot_id=1, chat_id=-7)

    assert judge(evidence([], arrivals, violations=[violation])).explained == [violation]
    full = [*arrivals, arrival(4, 100_003, chat_id=-7)]
    assert judge(evidence([], full, violations=[violation])).standing == [violation]


def test_a_private_chat_has_its_burst_and_then_a_place_a_second() -> None:
    burst = [arrival(number, 100_000 + number) for number in range(3)]
    violation = Violation(window="private", at_ms=100_900, bot_id=1, chat_id=7)

    assert judge(evidence([], burst, violations=[violation])).standing == [violation]
    assert judge(evidence([], burst, violations=[replace(violation, at_ms=101_100)])).explained
    assert judge(evidence([], burst[:2], violations=[violation])).explained == [violation]


def test_violations_that_the_simulator_only_counted_stand() -> None:
    assert broken(judge(evidence([], [], violations_unlisted=1)))


def test_a_message_that_comes_before_an_earlier_one_of_its_lane_is_found() -> None:
    messages = [promised(0), promised(1)]

    judgement = judge(evidence(messages, [arrival(1, 100_000), arrival(0, 100_500)]))

    assert [(late.text, before.text) for late, before in judgement.out_of_order] == [("low 0", "low 1")]
    assert len(broken(judgement)) == 1


def test_order_is_judged_by_first_arrivals_within_one_lane() -> None:
    messages = [promised(0), promised(1), promised(0, ids=frozenset({"x"}), text="high 0", lane="high")]
    arrivals = [
        arrival(0, 100_000, lost="hang"),
        arrival(1, 101_000),
        arrival(0, 102_000),
        arrival(0, 103_000, text="high 0"),
    ]

    assert judge(evidence(messages, arrivals)).out_of_order == []


def test_what_arrives_long_after_it_was_cancelled_or_expired_is_found() -> None:
    cancelled, expired = promised(0, cancelled_at_ms=100_000.0), promised(1, expires_at_ms=100_000.0)

    late = judge(evidence([cancelled, expired], [arrival(0, 102_001), arrival(1, 104_001)]))
    in_the_air = judge(evidence([cancelled, expired], [arrival(0, 101_999), arrival(1, 103_999)]))

    assert (late.after_cancel, late.after_expiry) == ([cancelled], [expired])
    assert broken(in_the_air) == []


def test_recovery_from_an_emptied_redis_is_timed_to_the_end_of_the_longest_silence() -> None:
    flushed = [Disturbance(Act.REDIS_FLUSHED, "", 100_000, 100_000)]
    soon = [arrival(0, 100_100), arrival(1, 103_000), arrival(2, 103_100)]
    late = [arrival(0, 100_100), arrival(1, 105_500)]

    assert judge(evidence([], soon, disturbances=flushed)).recovery_ms == [3_000]
    assert judge(evidence([], late, disturbances=flushed)).recovery_ms == [5_500]
    assert judge(evidence([], [], disturbances=flushed)).recovery_ms == [7_000]
    assert any("emptied Redis" in said for said in broken(judge(evidence([], late, disturbances=flushed))))


def test_slow_scripts_and_processes_that_end_without_being_killed_break_a_promise() -> None:
    assert (
        len(broken(judge(evidence([], [], slow_scripts=[SlowScript("lease", 12)], unexpected_ends=["worker-1"])))) == 2
    )


def test_a_script_that_waited_for_a_processor_is_not_slow() -> None:
    assert not broken(judge(evidence([], [], slow_scripts=[SlowScript("lease", took_ms=16, waited_ms=7)])))
    assert broken(judge(evidence([], [], slow_scripts=[SlowScript("lease", took_ms=16, waited_ms=5)])))
