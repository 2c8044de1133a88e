"""An outage of Telegram is one line; a trouble of one bot is a line of its own, and says nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from tempogram.bot.updates.source_health import SourceHealth
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.fakes import Clock


@pytest.fixture
def conditions(clock: Clock) -> Conditions:
    return Conditions(clock)


@pytest.fixture
def health(conditions: Conditions) -> Iterator[SourceHealth]:
    """Eight bots, 1 to 8."""
    health = SourceHealth(conditions)
    with ExitStack() as stack:
        for bot_id in range(1, 9):
            stack.enter_context(health.watching(bot_id))
        yield health


def test_one_call_without_an_answer_is_no_outage_and_no_line(health: SourceHealth, conditions: Conditions) -> None:
    with capture_logs() as logs:
        health.failed(1, "TimeoutError")
        health.succeeded(2)
        health.failed(3, "TimeoutError")

    assert (logs, conditions.current) == ([], [])


def test_an_outage_begins_when_a_second_bot_fails_and_ends_with_the_first_success(
    health: SourceHealth, conditions: Conditions
) -> None:
    with capture_logs() as logs:
        for bot_id in (1, 2, 3, 1, 2, 3):
            health.failed(bot_id, "ClientConnectorError")
        held = conditions.current
        health.succeeded(3)
        health.failed(1, "ClientConnectorError")

    assert (held, conditions.current) == ([Condition.UPDATES_AWAY], [])
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


def test_a_bot_that_alone_gets_no_answer_has_two_lines_of_its_own(health: SourceHealth, conditions: Conditions) -> None:
    with capture_logs() as logs:
        for _ in range(5):
            health.failed(1, "TimeoutError")
            health.succeeded(2)
        health.succeeded(1)

    assert [(each["event"], each["bot_id"]) for each in logs] == [("bot_updates_away", 1), ("bot_updates_back", 1)]
    assert conditions.current == []


def test_bots_in_trouble_of_their_own_say_nothing_of_the_host(health: SourceHealth, conditions: Conditions) -> None:
    for _ in range(2):
        health.failed(1, "TimeoutError")
        health.succeeded(3)
        health.failed(2, "TimeoutError")
        health.succeeded(3)

    with capture_logs() as logs:
        for _ in range(5):
            health.failed(1, "TimeoutError")
            health.failed(2, "TimeoutError")

    assert (logs, conditions.current) == ([], [])


def test_of_a_bot_that_is_alone_the_first_failure_is_an_outage(conditions: Conditions) -> None:
    health = SourceHealth(conditions)

    with health.watching(1):
        health.failed(1, "TimeoutError")
        held = conditions.current

    assert (held, conditions.current) == ([Condition.UPDATES_AWAY], [])
