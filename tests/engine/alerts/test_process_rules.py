from __future__ import annotations

from tempogram.engine.alerts.kinds import DATABASE_AWAY, KINDS
from tempogram.engine.alerts.process_rules import TEXT_OF, ProcessRules
from tempogram.engine.alerts.rules import BacklogRule, DatabaseRule
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.fakes import START_MS, Clock


def test_conditions_are_found_while_they_hold() -> None:
    clock = Clock()
    conditions = Conditions(clock)
    rules = ProcessRules(conditions, clock=clock)
    conditions.begin(Condition.REDIS_AWAY, "refused")
    conditions.begin(Condition.NOT_BEGUN, "no worker yet")  # a deploy, no fault

    assert [(each.kind, each.key) for each in rules.find()] == [("redis_away", "")]
    conditions.end(Condition.REDIS_AWAY)
    assert rules.find() == []


def test_an_operation_whose_breaker_is_open_is_named() -> None:
    rules = ProcessRules(Conditions(Clock()), failing=lambda: ["x:mentions"], clock=Clock())

    (found,) = rules.find()
    assert (found.kind, found.key) == ("service_failing", "x:mentions")
    assert found.text == "x:mentions fails, and is not called for now"


def test_a_chat_that_is_held_for_long_is_named_until_its_hold_ends() -> None:
    clock = Clock()
    held = [(7, -100, START_MS + 400_000), (7, 5, START_MS + 200_000)]
    rules = ProcessRules(Conditions(clock), held=lambda: held, long_ms=300_000, clock=clock)
    found = []
    for _ in range(3):
        found.append([each.key for each in rules.find()])
        clock.advance(200_000)

    assert found == [["7:-100"], ["7:-100"], []]


def test_each_kind_that_is_looked_for_is_known() -> None:
    kinds = {each.value for each in TEXT_OF} | ProcessRules.kinds
    for rule in (DatabaseRule, BacklogRule):
        kinds |= rule.kinds

    assert kinds | {DATABASE_AWAY, "test"} == KINDS.keys()
