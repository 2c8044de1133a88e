"""What is wrong is told twice: when it begins, and when it ends."""

from __future__ import annotations

from structlog.testing import capture_logs

from engine.conditions import Condition, Conditions


def test_a_condition_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    now_ms = 1_000
    conditions = Conditions(lambda: now_ms)
    with capture_logs() as told:
        conditions.begin(Condition.REDIS_AWAY, "connection refused")
        conditions.begin(Condition.REDIS_AWAY, "connection refused")
        now_ms = 4_500
        conditions.end(Condition.REDIS_AWAY)
        conditions.end(Condition.REDIS_AWAY)
    assert [each["event"] for each in told] == ["condition began", "condition ended"]
    assert told[0]["condition"] == "redis_away"
    assert told[1]["after_ms"] == 3_500


def test_what_holds_is_listed_from_the_oldest_on() -> None:
    conditions = Conditions(lambda: 0)
    conditions.begin(Condition.LEDGER_AWAY, "refused")
    conditions.begin(Condition.REDIS_AWAY, "refused")
    conditions.end(Condition.LEDGER_AWAY)
    conditions.begin(Condition.LEDGER_AWAY, "refused")
    assert conditions.current == [Condition.REDIS_AWAY, Condition.LEDGER_AWAY]
    assert conditions.holds(Condition.REDIS_AWAY)
