"""A run in which Telegram fails some bots and others wait for it is found; who has reasons of its own is left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.evidence import Act, Arrival, Disturbance, Evidence, MessageEnd, Promised, Terms, Trouble
from tests.chaos.isolation.waits import OWN_AFTERMATH_MS, others_waits
from tests.chaos.judge import judge
from tests.chaos.plan import TERMS

FEW = replace(TERMS, judged_min=0)
ENOUGH = TERMS.judged_min

FROM_MS, UNTIL_MS = 100_000.0, 108_000.0
DURING_MS = 104_000.0
LENGTH_MS = UNTIL_MS - FROM_MS

SOON_MS, LATE_MS = 499.0, 501.0


def trouble(*bot_ids: int, act: Act | None = Act.BOT_HANGS, chat_ids: Sequence[int] = ()) -> Trouble:
    return Trouble(
        act=act, from_ms=FROM_MS, until_ms=UNTIL_MS, bot_ids=frozenset(bot_ids), chat_ids=frozenset(chat_ids)
    )


def probe(
    number: int, *, bot_id: int = 2, chat_id: int = 7, priority: str = "high", at_ms: float = DURING_MS
) -> Promised:
    return Promised(
        ids=frozenset({f"id-{bot_id}-{chat_id}-{priority}-{number}"}),
        bot_id=bot_id,
        chat_id=chat_id,
        text=f"{priority} {number}",
        lane=priority,
        number=number,
        planned_at_ms=at_ms,
    )


def arrival(of: Promised, after_ms: float, *, code: int = 200) -> Arrival:
    assert of.planned_at_ms is not None
    return Arrival(at_ms=of.planned_at_ms + after_ms, bot_id=of.bot_id, chat_id=of.chat_id, text=of.text, code=code)


def evidence(
    arrived: Sequence[tuple[Promised, float]],
    *,
    troubles: Sequence[Trouble] = (trouble(1),),
    disturbances: Sequence[Disturbance] = (),
    terms: Terms = FEW,
) -> Evidence:
    return Evidence(
        promised=[message for message, _ in arrived],
        ended={message.message_id: MessageEnd("sent") for message, _ in arrived},
        arrivals=sorted((arrival(message, after_ms) for message, after_ms in arrived), key=lambda each: each.at_ms),
        violations=(),
        disturbances=disturbances,
        terms=terms,
        troubles=troubles,
    )


def judged(found: Evidence) -> list[tuple[Act, str, Sequence[float]]]:
    return [(waits.act, waits.priority, waits.waits_ms) for waits in others_waits(found)]


def broken(found: Evidence) -> list[str]:
    return [promise.said for promise in judge(found).promises if not promise.holds]


def test_a_run_in_which_others_wait_too_long_is_found() -> None:
    assert len(broken(evidence([(probe(0), LATE_MS)]))) == 1
    assert broken(evidence([(probe(0), SOON_MS)])) == []


def test_what_never_arrives_waits_for_ever() -> None:
    message = probe(0)
    found = Evidence(
        promised=[message],
        ended={message.message_id: MessageEnd("dead")},
        arrivals=[arrival(message, 5.0, code=500)],
        violations=(),
        disturbances=(),
        terms=FEW,
        troubles=[trouble(1)],
    )

    assert judged(found) == [(Act.BOT_HANGS, "high", [math.inf])]
    assert len(broken(found)) == 1


def test_high_and_normal_are_judged_by_themselves() -> None:
    soon = [(probe(number, priority="normal", at_ms=FROM_MS + number), SOON_MS) for number in range(1_000)]

    (said,) = broken(evidence([*soon, (probe(0), LATE_MS)]))

    assert f"high {LATE_MS:.0f} ms" in said


def probes(count: int, *, priority: str) -> list[tuple[Promised, float]]:
    return [(probe(number, priority=priority, at_ms=FROM_MS + number), SOON_MS) for number in range(count)]


def test_a_run_that_judged_enough_of_each_priority_keeps_its_promise() -> None:
    found = [*probes(ENOUGH, priority="high"), *probes(ENOUGH, priority="normal")]

    assert broken(evidence(found, terms=TERMS)) == []


@pytest.mark.parametrize("few", ["high", "normal"])
def test_a_run_that_judged_too_few_of_a_priority_breaks_its_promise(few: str) -> None:
    other = {"high": "normal", "normal": "high"}[few]
    found = [*probes(ENOUGH - 1, priority=few), *probes(ENOUGH, priority=other)]

    (said,) = broken(evidence(found, terms=TERMS))

    assert f"fewer than {ENOUGH} {few} messages" in said


def test_a_run_that_judged_none_promises_no_isolation_on_any_machine() -> None:
    unjudged = judge(evidence([(probe(0, bot_id=1), LATE_MS)], terms=TERMS))

    assert [promise.of_speed for promise in unjudged.promises if not promise.holds] == [False]


def test_a_trouble_of_all_bots_leaves_none_to_be_judged_and_promises_nothing() -> None:
    away = trouble(*range(1, 21), act=Act.HOST_HANGS)

    assert broken(evidence([(probe(0), LATE_MS)], troubles=[away], terms=TERMS)) == []


def test_less_than_one_of_a_hundred_may_wait_longer() -> None:
    soon = [(probe(number, at_ms=FROM_MS + number), SOON_MS) for number in range(198)]
    first, second = [(probe(number, at_ms=FROM_MS + number), LATE_MS) for number in (198, 199)]

    assert broken(evidence([*soon, first])) == []
    assert len(broken(evidence([*soon, first, second]))) == 1


def test_each_kind_of_trouble_is_judged_by_itself() -> None:
    hung, failed = trouble(1), Trouble(act=Act.BOT_FAILS, from_ms=200_000, until_ms=208_000, bot_ids=frozenset({1}))
    waits = [(probe(0), SOON_MS), (probe(1, at_ms=204_000.0), LATE_MS)]

    assert judged(evidence(waits, troubles=[hung, failed])) == [
        (Act.BOT_FAILS, "high", [LATE_MS]),
        (Act.BOT_HANGS, "high", [SOON_MS]),
    ]


def test_nothing_is_judged_while_what_several_bots_could_not_send_fills_the_ceiling() -> None:
    hung = trouble(1, 3, act=Act.BOTS_HANG)
    later = Trouble(act=Act.BOT_FAILS, from_ms=UNTIL_MS + 1, until_ms=UNTIL_MS + 60_000, bot_ids=frozenset({1}))
    over_ms = UNTIL_MS + LENGTH_MS + OWN_AFTERMATH_MS
    waits = [(probe(0, at_ms=over_ms), LATE_MS), (probe(1, at_ms=over_ms + 1), SOON_MS)]

    assert judged(evidence(waits, troubles=[hung, later])) == [(Act.BOT_FAILS, "high", [SOON_MS])]


def test_a_normal_message_is_not_judged_while_its_bot_has_a_backlog_of_that_priority() -> None:
    failing = trouble(1, act=Act.CHATS_FAIL, chat_ids=[7])

    assert judged(evidence([(probe(0, bot_id=1, chat_id=8, priority="normal"), LATE_MS)], troubles=[failing])) == []


def test_a_bot_is_not_judged_in_its_own_trouble() -> None:
    assert judged(evidence([(probe(0, bot_id=1), LATE_MS)])) == []


def test_no_bot_is_judged_while_the_host_is_away() -> None:
    away = trouble(*range(1, 21), act=Act.HOST_HANGS)

    assert judged(evidence([(probe(0), LATE_MS)], troubles=[away])) == []


def test_a_bots_other_chats_are_judged_while_calls_to_some_fail() -> None:
    failing = trouble(1, act=Act.CHATS_FAIL, chat_ids=[7])
    waits = [(probe(0, bot_id=1, chat_id=7), LATE_MS), (probe(0, bot_id=1, chat_id=8), LATE_MS)]

    assert judged(evidence(waits, troubles=[failing])) == [(Act.CHATS_FAIL, "high", [LATE_MS])]


@pytest.mark.parametrize("after_ms", [-LENGTH_MS - 501, LENGTH_MS + OWN_AFTERMATH_MS + 1])
def test_what_left_a_bot_long_ago_or_befalls_it_later_excuses_nothing(after_ms: float) -> None:
    before = Trouble(
        act=Act.BOT_FAILS,
        from_ms=DURING_MS - after_ms - LENGTH_MS,
        until_ms=DURING_MS - after_ms,
        bot_ids=frozenset({2}),
    )

    assert judged(evidence([(probe(0), LATE_MS)], troubles=[trouble(1), before]))


@pytest.mark.parametrize("after_ms", [-LENGTH_MS - 499, LENGTH_MS + OWN_AFTERMATH_MS - 1])
def test_a_bot_is_not_judged_shortly_before_and_after_a_trouble_of_its_own(after_ms: float) -> None:
    before = Trouble(
        act=Act.BOT_FAILS,
        from_ms=DURING_MS - after_ms - LENGTH_MS,
        until_ms=DURING_MS - after_ms,
        bot_ids=frozenset({2}),
    )

    assert judged(evidence([(probe(0), LATE_MS)], troubles=[trouble(1), before])) == []


def test_a_passing_fault_excuses_its_bot_only() -> None:
    passing = Trouble(act=None, from_ms=DURING_MS - 100, until_ms=DURING_MS + 2_900, bot_ids=frozenset({2}))
    waits = [(probe(0, bot_id=2), LATE_MS), (probe(0, bot_id=3), SOON_MS)]

    assert judged(evidence(waits, troubles=[trouble(1), passing])) == [(Act.BOT_HANGS, "high", [SOON_MS])]


def test_a_passing_fault_is_no_act_by_itself() -> None:
    passing = Trouble(act=None, from_ms=FROM_MS, until_ms=UNTIL_MS, bot_ids=frozenset({1}))

    assert judged(evidence([(probe(0), LATE_MS)], troubles=[passing])) == []


@pytest.mark.parametrize("at_ms", [DURING_MS + 499, DURING_MS - TERMS.aftermath_ms + 1])
def test_nothing_is_judged_around_what_is_done_to_a_process_or_a_server(at_ms: float) -> None:
    killed = Disturbance(Act.KILLED, "worker-1", at_ms, at_ms)

    assert judged(evidence([(probe(0), LATE_MS)], disturbances=[killed])) == []


@pytest.mark.parametrize("at_ms", [DURING_MS + 501, DURING_MS - TERMS.aftermath_ms - 1])
def test_what_is_done_to_a_process_long_before_or_afterwards_excuses_nothing(at_ms: float) -> None:
    killed = Disturbance(Act.KILLED, "worker-1", at_ms, at_ms)

    assert judged(evidence([(probe(0), LATE_MS)], disturbances=[killed]))


def test_messages_of_the_usual_load_are_not_judged_as_they_may_have_to_wait_for_their_group() -> None:
    message = Promised(ids=frozenset({"x"}), bot_id=2, chat_id=-7, text="low 0", lane="low", number=0)
    found = Evidence(
        promised=[message],
        ended={"x": MessageEnd("sent")},
        arrivals=[Arrival(at_ms=DURING_MS, bot_id=2, chat_id=-7, text="low 0", code=200)],
        violations=(),
        disturbances=(),
        terms=TERMS,
        troubles=[trouble(1)],
    )

    assert judged(found) == []
