from __future__ import annotations

from typing import Any

import pytest

from tempogram.bot.tasks.budgets import budgets_of, check_uses
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.plan import Budget
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.catalogue import shipped


def poll(uses: dict[str, Any]) -> Task:
    return Task(name="poll", times=Every(60_000), work=print, uses=uses)


def test_an_operation_with_a_count_is_a_budget() -> None:
    budgets = budgets_of(shipped())

    assert budgets["x:mentions"] == Budget(name="x:mentions", count=10, window_ms=900_000)
    assert "films:availability" not in budgets


def test_what_is_declared_may_be_used() -> None:
    check_uses([poll({"x:mentions": 1, "x": 2, "telegram": 3})], shipped())


@pytest.mark.parametrize(
    ("uses", "sentence"),
    [
        ({"x:mention": 1}, "task poll uses x:mention, but x has no operation 'mention'; it has mentions, tweet_lookup"),
        ({"y:mentions": 1}, "task poll uses y:mentions, but there is no service 'y'; declared are "),
        ({"all": 1}, "task poll uses all, but there is no service 'all'; declared are "),
        ({"x:mentions": 0}, "task poll uses 0 calls of x:mentions; it must be a whole number from 1 to 1,000,000"),
        ({"x:mentions": 1.5}, "task poll uses 1.5 calls of x:mentions; it must be a whole number"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(uses: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_uses([poll(uses)], shipped())

    assert str(refused.value).startswith(sentence)
