"""Every error that a client may get, in one format and one table.

{"error": {"code": "not_found", "message": "there is no message 'abc'"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse

from tempogram.api.core.ports import IntakeFull, NoWebhook, Refusal, TelegramUnreachable, UnknownToken
from tempogram.api.core.redaction import without_tokens
from tempogram.api.schemas.errors import ErrorOut
from tempogram.engine.broadcasts.board import BroadcastConflict, UnknownBroadcast
from tempogram.engine.model.errors import (
    BrokerUnavailable,
    ChatUnreachable,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.engine.scheduler.board import TaskConflict, UnknownTask
from tempogram.engine.services.errors import UnknownService
from tempogram.storage.files.spool import FileTooLarge
from tempogram.storage.identity.passwords import TooManyPasswords, UnfitPassword
from tempogram.storage.identity.users import NameTaken
from tempogram.storage.key_rotation import RotationRefused


class ApiError(Exception):
    """An error of the HTTP side itself; its text is for the client."""


class Malformed(ApiError):
    """The body is neither valid JSON nor a valid form."""


class Invalid(ApiError):
    """A field is missing or not valid."""


class NotAuthenticated(ApiError):
    """There is no bearer token, or it is not valid."""


class TooManyWrongTokens(ApiError):
    """Too many bearer tokens from this address were wrong; this one was not looked at."""

    def __init__(self) -> None:
        super().__init__("too many wrong bearer tokens came from this address; try again in a second")


class NotAllowed(ApiError):
    """The token's role does not allow this."""


class CrossSite(ApiError):
    """A page of another site made a browser send this."""

    def __init__(self) -> None:
        super().__init__(
            "a page of another site may not change anything here; a browser says so by Sec-Fetch-Site or Origin, and a "
            "program uses a bearer token"
        )


class LogInAgain(ApiError):
    """What a browser may do only soon after its log-in."""


class WrongLogIn(ApiError):
    """The name, the password or the link is wrong; which one is not said."""


class TooManyLogIns(ApiError):
    """Too many wrong passwords came from this address, or for this account; this one was not compared."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong passwords came; try again in {retry_after_s} s, or use a log-in link")
        self.headers = {"Retry-After": str(retry_after_s)}


class WrongSecret(ApiError):
    """A webhook call does not have the secret that Telegram was given."""


class NotFound(ApiError):
    """What the path names does not exist."""


class Conflict(ApiError):
    """The message is being sent or has ended."""


class NotScheduled(ApiError):
    """The message is accepted, but not admitted to the queue yet."""


class TooLarge(ApiError):
    """The body has more bytes than this path accepts."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body is larger than {bytes_max:,} bytes, which is the limit here")
        self.bytes_max = bytes_max


class MethodNotAllowed(ApiError):
    """The Bot API is called by GET or POST."""


class TooManyRequests(ApiError):
    """A call of the Bot API found no place in time, and was taken back."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too Many Requests: retry after {retry_after_s}")
        self.retry_after_s = retry_after_s


class HeadTooLarge(ApiError):
    """The request line and the headers have more bytes or lines than a request needs."""


class HeadTooSlow(ApiError):
    """The request line and the headers were not complete in time."""


class BodyTooSlow(ApiError):
    """The body did not arrive at the pace that a client must keep."""


class Busy(ApiError):
    """There is no room for another connection, or for more of a body."""


class Ending(ApiError):
    """The process ends, and does not wait any longer."""

    def __init__(self) -> None:
        super().__init__("the process ends; try again in a moment")


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How one kind of error is shown. ``message`` replaces the error's text where that is only for the log."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None


AGAIN_SOON = {"Retry-After": "1"}
CLOSED = {"Connection": "close"}  # what follows is still the body
AGAIN_LATER = {"Retry-After": "10"}  # untuned: a full lane sends about one message a second

LEDGER_AWAY = "the ledger cannot be reached; try again in a moment"

NOTHING_HERE = "there is nothing at this path"
"""The same for an unknown route and an unknown bot token, so that tokens cannot be probed."""

TABLE: Mapping[type[Exception], ErrorFormat] = {
    Malformed: ErrorFormat(400, "malformed"),
    Refusal: ErrorFormat(400, "refused"),
    UnstorableValue: ErrorFormat(400, "refused"),
    NotAuthenticated: ErrorFormat(401, "not_authenticated", {"WWW-Authenticate": "Bearer"}),
    NotAllowed: ErrorFormat(403, "not_allowed"),
    WrongLogIn: ErrorFormat(401, "wrong_log_in", {"WWW-Authenticate": "Bearer"}),
    CrossSite: ErrorFormat(403, "cross_site"),
    LogInAgain: ErrorFormat(403, "log_in_again"),
    WrongSecret: ErrorFormat(403, "wrong_secret"),
    NotFound: ErrorFormat(404, "not_found"),
    UnknownService: ErrorFormat(404, "not_found"),
    UnknownTask: ErrorFormat(404, "not_found"),
    UnknownBroadcast: ErrorFormat(404, "not_found"),
    HeadTooSlow: ErrorFormat(408, "head_too_slow"),
    BodyTooSlow: ErrorFormat(408, "body_too_slow", CLOSED),
    ChatUnreachable: ErrorFormat(409, "chat_unreachable"),
    TargetLost: ErrorFormat(409, "target_lost"),
    Conflict: ErrorFormat(409, "conflict"),
    TaskConflict: ErrorFormat(409, "conflict"),
    BroadcastConflict: ErrorFormat(409, "conflict"),
    RotationRefused: ErrorFormat(409, "conflict"),
    NameTaken: ErrorFormat(409, "name_taken"),
    NoWebhook: ErrorFormat(409, "no_webhook"),
    TooLarge: ErrorFormat(413, "too_large"),
    FileTooLarge: ErrorFormat(413, "file_too_large"),
    Invalid: ErrorFormat(422, "invalid"),
    UnfitPassword: ErrorFormat(422, "unfit_password"),
    UnknownToken: ErrorFormat(422, "unknown_token"),
    QueueFull: ErrorFormat(429, "queue_full", AGAIN_LATER),
    TooManyWrongTokens: ErrorFormat(429, "too_many_wrong_tokens", AGAIN_SOON),
    TooManyLogIns: ErrorFormat(429, "too_many_log_ins"),
    HeadTooLarge: ErrorFormat(431, "head_too_large"),
    Busy: ErrorFormat(503, "busy", AGAIN_SOON | CLOSED),
    TooManyPasswords: ErrorFormat(503, "log_ins_busy", AGAIN_SOON),
    Ending: ErrorFormat(503, "ending", AGAIN_SOON | CLOSED),
    IntakeFull: ErrorFormat(503, "intake_full", AGAIN_SOON),
    NotScheduled: ErrorFormat(503, "not_scheduled", AGAIN_SOON),
    TelegramUnreachable: ErrorFormat(503, "telegram_unreachable", AGAIN_LATER),
    LedgerError: ErrorFormat(503, "ledger_unavailable", AGAIN_SOON, LEDGER_AWAY),
    BrokerUnavailable: ErrorFormat(
        503, "broker_unavailable", AGAIN_SOON, "the queue cannot be reached; try again in a moment"
    ),
}

ROUTING: Mapping[int, tuple[str, str]] = {
    400: ("malformed", "the body could not be read"),
    404: ("not_found", NOTHING_HERE),
    405: ("method_not_allowed", "this path does not take this method"),
}
"""Errors that the framework raises, by status."""

ALWAYS = (NotAuthenticated, NotAllowed, TooManyWrongTokens, LedgerError)
"""Errors that every guarded route may give: whether an API token is valid is read from the database."""

INTERNAL = ErrorFormat(500, "internal")


def format_of(error: Exception) -> ErrorFormat:
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)


def error_response(error: Exception) -> JSONResponse:
    """Return the response to an error."""
    format_ = format_of(error)
    headers = {**format_.headers, **getattr(error, "headers", {})}
    return response(format_.status, format_.code, format_.message or str(error), headers)


def error_responses(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a route's errors."""
    formats = [TABLE[kind] for kind in dict.fromkeys((*ALWAYS, *kinds))]
    return {
        status: {
            "model": ErrorOut,
            "description": ", ".join(format_.code for format_ in formats if format_.status == status),
        }
        for status in sorted({format_.status for format_ in formats})
    }


def response(status: int, code: str, message: str, headers: Mapping[str, str]) -> JSONResponse:
    """Return an error in the one format."""
    body = {"error": {"code": code, "message": without_tokens(message)}}
    return JSONResponse(body, status_code=status, headers=dict(headers))
