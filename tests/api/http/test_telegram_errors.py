"""Every error has Telegram's form, a code of its own, and no token."""

from __future__ import annotations

import json

import pytest

from tempogram.api.core.errors import Conflict, Malformed, NotFound, TooLarge, TooManyRequests
from tempogram.api.core.ports import Crowded, Refusal, TelegramUnreachable, UnknownToken
from tempogram.api.http.telegram_errors import refusal_of, refused
from tempogram.engine.model.errors import BrokerFull, ChatUnreachable, LedgerError, QueueFull, TargetLost
from tests.api.fakes import BOT_TOKEN


@pytest.mark.parametrize(
    ("error", "code", "description"),
    [
        (Malformed("the body is not JSON"), 400, "Bad Request: the body is not JSON"),
        (Refusal("sendMessage needs text"), 400, "Bad Request: sendMessage needs text"),
        (TargetLost("Bad Request: message -7 is not known"), 400, "Bad Request: message -7 is not known"),
        (UnknownToken("of bot 42"), 401, "Unauthorized"),
        (ChatUnreachable(42, 7, "Forbidden: bot was kicked"), 403, "Forbidden: bot was kicked"),
        (NotFound("Not Found"), 404, "Not Found"),
        (Conflict("here"), 409, "Conflict: here"),
        (TelegramUnreachable("no answer"), 502, "Bad Gateway: no answer"),
        (LedgerError("10.0.0.5"), 503, "Service Unavailable: the ledger cannot be reached; nothing was accepted"),
        (BrokerFull("10.0.0.6"), 503, "Service Unavailable: the queue cannot be reached; nothing was accepted"),
    ],
)
def test_an_error_is_said_as_telegram_says_it(error: Exception, code: int, description: str) -> None:
    answer = refusal_of(error)

    assert answer.status == code
    assert json.loads(answer.body) == {"ok": False, "error_code": code, "description": description}


@pytest.mark.parametrize(
    ("error", "retry_after_s"),
    [
        (TooManyRequests(7), 7),
        (Crowded("too much"), 1),
        (Crowded("too much", retry_after_s=60), 60),
        (QueueFull(42, 7, 10), 10),
    ],
)
def test_a_429_says_when_to_come_back(error: Exception, retry_after_s: int) -> None:
    body = json.loads(refusal_of(error).body)

    assert (body["error_code"], body["parameters"]) == (429, {"retry_after": retry_after_s})
    assert body["description"].startswith("Too Many Requests: ")


def test_no_error_quotes_a_token() -> None:
    assert BOT_TOKEN.encode() not in refused(400, f"Bad Request: no bot {BOT_TOKEN}").body


def test_a_body_that_is_too_large_is_said_so() -> None:
    answer = refusal_of(TooLarge(1_000))

    assert answer.status == 413
    assert b"the body is larger than 1,000 bytes" in answer.body


def test_an_error_that_is_not_foreseen_is_ours() -> None:
    assert refusal_of(RuntimeError("ours")).status == 500
