"""Every error that a client of the Bot API door may get, in Telegram's own form and one table.

{"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 3", "parameters": {"retry_after": 3}}

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from tempogram.api.core.errors import (
    BodyTooSlow,
    Busy,
    Conflict,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    TooManyRequests,
)
from tempogram.api.core.ports import ApiAnswer, Crowded, Refusal, TelegramUnreachable, UnknownToken
from tempogram.api.core.redaction import without_tokens
from tempogram.api.http.unhandled_errors import log_unhandled
from tempogram.engine.model.errors import (
    BrokerUnavailable,
    ChatUnreachable,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.storage.files.spool import FileTooLarge

JSON = "application/json"

FULL_QUEUE_S = 10
"""untuned: a full lane sends about one message a second."""

BAD_REQUEST, FORBIDDEN, UNAUTHORIZED, NOT_FOUND = "Bad Request: ", "Forbidden: ", "Unauthorized", "Not Found"
"""Telegram's own words for these codes."""


def refused(code: int, description: str, *, retry_after_s: int | None = None) -> ApiAnswer:
    """Return a refusal as Telegram writes it.

    >>> refused(404, "Not Found").body
    b'{"ok":false,"error_code":404,"description":"Not Found"}'
    """
    said: dict[str, Any] = {"ok": False, "error_code": code, "description": without_tokens(description)}
    if retry_after_s is not None:
        said["parameters"] = {"retry_after": retry_after_s}
    return ApiAnswer(code, msgspec.json.encode(said))


def refusal_of(error: Exception) -> ApiAnswer:
    """Return the answer to an error; one that is not foreseen is logged, and answered with a reference to the log."""
    make = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if make is None:
        return refused(500, f"Internal Server Error: see the log under {log_unhandled(error)}")
    return make(error)


def response_of(answer: ApiAnswer) -> Response:
    headers = {"Allow": "GET, POST"} if answer.status == 405 else None
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=JSON)


def _with(code: int, words: str) -> Callable[[Any], ApiAnswer]:
    """Put Telegram's words before an error's own text, unless they stand there already."""

    def answer(error: Exception) -> ApiAnswer:
        text = str(error)
        return refused(code, text if text.startswith(words) else words + text)

    return answer


def _always(code: int, words: str) -> Callable[[Any], ApiAnswer]:
    return lambda _: refused(code, words)


def _throttled(words: str, retry_after_s: int) -> ApiAnswer:
    return refused(429, words, retry_after_s=retry_after_s)


TABLE: Mapping[type[Exception], Callable[[Any], ApiAnswer]] = {
    Malformed: _with(400, BAD_REQUEST),
    Invalid: _with(400, BAD_REQUEST),
    Refusal: _with(400, BAD_REQUEST),
    TargetLost: _with(400, BAD_REQUEST),
    UnstorableValue: _with(400, BAD_REQUEST),
    UnknownToken: _always(401, UNAUTHORIZED),
    ChatUnreachable: lambda error: _with(403, FORBIDDEN)(error.reason),
    NotFound: _with(404, NOT_FOUND),
    MethodNotAllowed: _always(405, "Method Not Allowed"),
    BodyTooSlow: _with(408, "Request Timeout: "),
    Conflict: _with(409, "Conflict: "),
    TooLarge: _with(413, "Request Entity Too Large: "),
    FileTooLarge: _with(413, "Request Entity Too Large: "),
    TooManyRequests: lambda error: _throttled(str(error), error.retry_after_s),
    Crowded: lambda error: _throttled(f"Too Many Requests: {error}", error.retry_after_s),
    QueueFull: lambda error: _throttled(f"Too Many Requests: {error}", FULL_QUEUE_S),
    TelegramUnreachable: _with(502, "Bad Gateway: "),
    Busy: _with(503, "Service Unavailable: "),
    LedgerError: _always(503, "Service Unavailable: the ledger cannot be reached; nothing was accepted"),
    BrokerUnavailable: _always(503, "Service Unavailable: the queue cannot be reached; nothing was accepted"),
}
"""``TooManyRequests`` says when to come back; the others that are answered with 429 say when it is worth a try."""
