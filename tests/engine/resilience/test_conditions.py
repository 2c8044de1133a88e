"""An outage is logged twice: when it begins, and when it ends."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from tempogram.engine.resilience.conditions import OBSERVED_MS, Condition, Conditions
from tests.engine.desk import turns
from tests.fakes import Clock


def test_a_condition_is_logged_once_when_it_begins_and_once_when_it_ends() -> None:
    now_ms = 1_000
    conditions = Conditions(lambda: now_ms)
    with capture_logs() as logged:
        conditions.begin(Condition.REDIS_AWAY, "connection refused")
        conditions.begin(Condition.REDIS_AWAY, "connection refused")
        now_ms = 4_500
        conditions.end(Condition.REDIS_AWAY)
        conditions.end(Condition.REDIS_AWAY)
    assert [each["event"] for each in logged] == ["condition_began", "condition_ended"]
    assert logged[0]["condition"] == "redis_away"
    assert logged[1]["after_ms"] == 3_500


def test_conditions_that_hold_are_listed_from_the_oldest_on() -> None:
    conditions = Conditions(lambda: 0)
    conditions.begin(Condition.LEDGER_AWAY, "refused")
    conditions.begin(Condition.REDIS_AWAY, "refused")
    conditions.end(Condition.LEDGER_AWAY)
    conditions.begin(Condition.LEDGER_AWAY, "refused")
    assert conditions.current == [Condition.REDIS_AWAY, Condition.LEDGER_AWAY]
    assert conditions.holds(Condition.REDIS_AWAY)


def test_a_condition_that_several_report_begins_with_the_first_and_ends_with_the_last() -> None:
    conditions = Conditions(lambda: 0)
    with capture_logs() as logged:
        conditions.begin(Condition.REDIS_AWAY, "connection refused", seen_by="news")
        conditions.begin(Condition.REDIS_AWAY, "timeout", seen_by="answers")
        conditions.end(Condition.REDIS_AWAY, seen_by="news")
        conditions.end(Condition.REDIS_AWAY, seen_by="verbs")
        held_by_the_other = conditions.holds(Condition.REDIS_AWAY)
        conditions.end(Condition.REDIS_AWAY, seen_by="answers")

    assert held_by_the_other
    assert conditions.current == []
    assert [(each["event"], each.get("reason")) for each in logged] == [
        ("condition_began", "connection refused"),
        ("condition_ended", None),
    ]


def test_the_reports_of_several_callers_are_kept_apart() -> None:
    conditions = Conditions(lambda: 0)
    conditions.begin(Condition.REDIS_AWAY, "connection refused", seen_by="news")

    assert conditions.is_seen(Condition.REDIS_AWAY, by="news")
    assert not conditions.is_seen(Condition.REDIS_AWAY, by="verbs")


def test_an_observed_condition_ends_when_it_was_not_observed_again_for_a_while() -> None:
    clock = Clock()
    conditions = Conditions(clock)
    with capture_logs() as logged:
        conditions.observe(Condition.LEDGER_AWAY, "refused")
        clock.advance(OBSERVED_MS - 1)
        conditions.observe(Condition.LEDGER_AWAY, "refused")
        clock.advance(OBSERVED_MS - 1)
        conditions.lapse()
        holds_after_the_second = conditions.holds(Condition.LEDGER_AWAY)
        clock.advance(1)
        conditions.lapse()

    assert holds_after_the_second
    assert [each["event"] for each in logged] == ["condition_began", "condition_ended"]


def test_an_observation_that_expires_does_not_end_what_another_caller_reports() -> None:
    clock = Clock()
    conditions = Conditions(clock)
    conditions.observe(Condition.LEDGER_AWAY, "refused")
    conditions.begin(Condition.LEDGER_AWAY, "refused", seen_by="a writer")
    clock.advance(OBSERVED_MS)
    conditions.lapse()

    assert conditions.holds(Condition.LEDGER_AWAY)


async def test_an_observed_condition_ends_by_itself() -> None:
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)

    conditions = Conditions(clock, sleep=sleep)
    conditions.observe(Condition.LEDGER_AWAY, "refused")
    running = asyncio.create_task(conditions.run())
    await turns()
    running.cancel()

    assert conditions.current == []
