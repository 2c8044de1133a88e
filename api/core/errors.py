"""How anything that goes wrong is told over HTTP: one form, one table.

{"error": {"code": "not_found", "message": "there is no message 'abc'"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tempogram.api.core.ports import IntakeFull, NoWebhook, Refusal, TelegramUnreachable, UnknownToken
from tempogram.api.core.redaction import without_tokens
from tempogram.api.core.validation_messages import sentence_of
from tempogram.api.schemas.errors import ErrorOut
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerError, QueueFull
from tempogram.storage.files.spool import FileTooLarge

log = structlog.get_logger()


class ApiError(Exception):
    """What the HTTP side itself refuses; the sentence is for the client."""


class Malformed(ApiError):
    """The body is no JSON, or no form."""


class Invalid(ApiError):
    """A field is missing or makes no sense."""


class NotAuthenticated(ApiError):
    """No bearer token, or none of ours."""


class NotAllowed(ApiError):
    """The token's role may not do this."""


class WrongSecret(ApiError):
    """A webhook call without the secret that Telegram was given."""


class NotFound(ApiError):
    """No such thing."""


class Conflict(ApiError):
    """It is too late for this."""


class NotScheduled(ApiError):
    """The message is accepted, and the schedule does not know it yet."""


class TooLarge(ApiError):
    """The body has more bytes than are read."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body is larger than {bytes_max:,} bytes, which is the limit here")
        self.bytes_max = bytes_max


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of error is told. ``message`` replaces the error's own words where those are for the log."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None


AGAIN_SOON = {"Retry-After": "1"}
AGAIN_LATER = {"Retry-After": "10"}  # a full lane gives a place back about once a second; a guess

NOTHING_HERE = "there is nothing at this path"
"""The same for an unknown route and an unknown bot token, so that nobody learns which tokens are close."""

TABLE: Mapping[type[Exception], Form] = {
    Malformed: Form(400, "malformed"),
    Refusal: Form(400, "refused"),
    NotAuthenticated: Form(401, "not_authenticated", {"WWW-Authenticate": "Bearer"}),
    NotAllowed: Form(403, "not_allowed"),
    WrongSecret: Form(403, "wrong_secret"),
    NotFound: Form(404, "not_found"),
    ChatUnreachable: Form(409, "chat_unreachable"),
    Conflict: Form(409, "conflict"),
    NoWebhook: Form(409, "no_webhook"),
    TooLarge: Form(413, "too_large"),
    FileTooLarge: Form(413, "file_too_large"),
    Invalid: Form(422, "invalid"),
    UnknownToken: Form(422, "unknown_token"),
    QueueFull: Form(429, "queue_full", AGAIN_LATER),
    IntakeFull: Form(503, "intake_full", AGAIN_SOON),
    NotScheduled: Form(503, "not_scheduled", AGAIN_SOON),
    TelegramUnreachable: Form(503, "telegram_unreachable", AGAIN_LATER),
    LedgerError: Form(503, "ledger_unavailable", AGAIN_SOON, "the ledger cannot be reached; try again in a moment"),
    BrokerUnavailable: Form(
        503, "broker_unavailable", AGAIN_SOON, "the queue cannot be reached; try again in a moment"
    ),
}

ROUTING: Mapping[int, tuple[str, str]] = {
    400: ("malformed", "the body could not be read"),
    404: ("not_found", NOTHING_HERE),
    405: ("method_not_allowed", "this path does not take this method"),
}
"""What the framework itself refuses."""

ALWAYS = (NotAuthenticated, NotAllowed)
"""What every guarded route can answer."""

INTERNAL = Form(500, "internal")


def schema_of(error: Exception) -> Form:
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)


def answer(error: Exception) -> JSONResponse:
    """Return what the client is told."""
    form = schema_of(error)
    return _response(form.status, form.code, form.message or str(error), form.headers)


def declares(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Return what a route says in its documentation about the errors that it can give."""
    forms = [TABLE[kind] for kind in ALWAYS] + [TABLE[kind] for kind in kinds]
    return {
        status: {"model": ErrorOut, "description": ", ".join(form.code for form in forms if form.status == status)}
        for status in sorted({form.status for form in forms})
    }


def install(app: FastAPI) -> None:
    """Let every error of the table be told in the one form."""
    for kind in TABLE:
        app.add_exception_handler(kind, _tell)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_routing)


async def _tell(_request: Request, error: Exception) -> JSONResponse:
    if schema_of(error).message:  # the ledger or the broker is away, which is told as a condition
        log.debug("refused", error=type(error).__name__, reason=without_tokens(str(error)))
    return answer(error)


async def _tell_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "it is installed for nothing else"  # noqa: S101
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return answer(Malformed(f"the body is no JSON: {first['ctx']['error']}"))
    return answer(Invalid(sentence_of(first)))


async def _tell_routing(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "it is installed for nothing else"  # noqa: S101
    code, message = ROUTING.get(error.status_code, ("refused", "the request was refused"))
    headers = dict(error.headers or {}) | (_allow(request) if error.status_code == 405 else {})
    return _response(error.status_code, code, message, headers)


def _allow(request: Request) -> dict[str, str]:
    """Return every method of a path: the framework knows each by a route of its own, and names the first one's."""
    path = getattr(request.scope.get("route"), "path", None)
    methods = request.app.openapi()["paths"].get(path, {})
    return {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}


def _response(status: int, code: str, message: str, headers: Mapping[str, str]) -> JSONResponse:
    body = {"error": {"code": code, "message": without_tokens(message)}}
    return JSONResponse(body, status_code=status, headers=dict(headers))
