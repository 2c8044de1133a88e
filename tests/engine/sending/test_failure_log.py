"""A retry and a dead letter leave a line each, without a message's text."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.outcomes import Failed, Outcome, Overdue, Rejected, Sent, Throttled, Uncertain
from tempogram.engine.resilience.backoff import RetryPolicy
from tests.engine.desk import Desk, at_most_once
from tests.fakes import outgoing

NO_RETRY = RetryPolicy(retries_max=0)


def events_of(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    return [(each["log_level"], each["event"]) for each in logs if each["event"].startswith("message_")]


async def test_a_retry_leaves_a_line_with_its_reason_and_delay(desk: Desk) -> None:
    with capture_logs() as logs:
        await desk.deliver(Failed("Bad Gateway", 502))

    (line,) = [each for each in logs if each["event"] == "message_retried"]
    delay_ms = line.pop("delay_ms")
    assert 0 <= delay_ms <= 1_000
    assert line == {
        "event": "message_retried",
        "log_level": "info",
        "bot_id": 1,
        "chat_id": 7,
        "message_id": "a",
        "method": "sendMessage",
        "reason": "Bad Gateway",
        "attempt": 1,
    }


async def test_a_refused_message_leaves_a_line_as_a_dead_letter(desk: Desk) -> None:
    with capture_logs() as logs:
        await desk.deliver(Rejected(400, "Bad Request: chat not found"))

    assert events_of(logs) == [("warning", "message_dead")]
    assert logs[0]["reason"] == "Bad Request: chat not found"
    assert (logs[0]["bot_id"], logs[0]["chat_id"], logs[0]["message_id"], logs[0]["attempt"]) == (1, 7, "a", 1)


async def test_a_message_without_a_try_left_leaves_a_line_as_a_dead_letter() -> None:
    desk = Desk(retries=NO_RETRY)

    with capture_logs() as logs:
        await desk.deliver(Failed("Bad Gateway", 502))

    assert events_of(logs) == [("warning", "message_dead")]


async def test_a_message_that_perhaps_arrived_and_is_not_tried_again_leaves_a_line(desk: Desk) -> None:
    with capture_logs() as logs:
        await desk.deliver(Uncertain("no answer"), message=at_most_once(outgoing("a")))

    assert events_of(logs) == [("warning", "message_uncertain")]


@pytest.mark.parametrize("outcome", [Sent(1), Throttled(7_000), Overdue()])
async def test_what_spends_no_attempt_leaves_no_line_of_its_own(desk: Desk, outcome: Outcome) -> None:
    with capture_logs() as logs:
        await desk.deliver(outcome)

    assert events_of(logs) == []


@pytest.mark.parametrize(
    "reason",
    [
        'Bad Request: can\'t parse entities: Unsupported start tag "secret" at byte offset 0',
        "Bad Request: inline keyboard button URL 'http://secret' is invalid: Wrong HTTP URL",
        'Bad Request: can\'t parse entities: Unsupported start tag ""secret"" at byte offset 0',
        "Bad Request: inline keyboard button URL 'http://a' secret 'b' is invalid: Wrong HTTP URL",
    ],
)
async def test_what_telegram_quotes_of_a_message_stands_in_no_line(desk: Desk, reason: str) -> None:
    with capture_logs() as logs:
        await desk.deliver(Rejected(400, reason))

    assert "secret" not in repr(logs)
    assert logs[0]["reason"].startswith("Bad Request: ")
