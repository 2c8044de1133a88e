"""What came of one attempt: read from what the call returned or raised, whichever client made it."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from tempogram.engine.services.said import Said, read

log = structlog.get_logger()

TOO_MANY = 429
UNSENT_ERRORS = (ConnectionRefusedError, socket.gaierror)
UNSENT_NAMES = frozenset(
    "ConnectError ConnectTimeout PoolTimeout ClientConnectorError ClientConnectorDNSError ConnectionTimeoutError "
    "NewConnectionError ConnectTimeoutError".split()
)
"""Errors of httpx, aiohttp, urllib3 and requests that come before the first byte was sent."""

OWN_NAMES = frozenset("PoolTimeout LocalProtocolError UnsupportedProtocol InvalidURL ServiceError".split())
"""Errors of httpx and aiohttp that say nothing of the service: a client's own connections are all in use, or a request
is none; and ours, of a call within a call."""

CAUSES_MAX = 5
"""How far an error is traced. untuned: of the clients that are known two is enough."""

FORBIDDEN = 403
"""Too many requests as well, if the answer says when to come back, or that nothing is left: so does GitHub.

Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

RETRIED_STATUSES = frozenset({408, 425})
"""Besides 5xx: the service did not take the request, for a reason that passes."""


class Verdict(StrEnum):
    """What one attempt says of the service."""

    WELL = "well"  # the service did what it does, be it to refuse a wrong request
    THROTTLED = "throttled"  # too many calls: for the limiter, never for the breaker
    FAILED = "failed"  # the service, or the way to it
    WRONG = "wrong"  # an error of the caller's own code: says nothing of the service


NOTHING_SAID = Said()


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of one attempt.

    Attributes:
        was_sent: Bytes may have reached the service.
        said: The service's own word on its limits.
    """

    verdict: Verdict
    was_sent: bool = True
    said: Said = NOTHING_SAID


Classify = Callable[[Any], Verdict | None]
"""A rule of one's own: gets what was returned, or raised; None: as everybody else's."""


def of_result(result: Any, now_ms: int, classify: Classify | None = None) -> Attempted:
    """Judge what a call returned. What is no HTTP response is a success."""
    said = said_by(result, now_ms)
    verdict = _classified(classify, result)
    return Attempted(verdict or _of_status(status_of(result), said) or Verdict.WELL, said=said)


def of_error(
    error: Exception, now_ms: int, *, throttled_codes: tuple[int, ...] = (), classify: Classify | None = None
) -> Attempted:
    """Judge what a call raised."""
    answer = answer_of(error)
    said = said_by(answer, now_ms)
    verdict = _classified(classify, error)
    # Only where it is wanted: aiohttp warns of reading it.
    if verdict is None and throttled_codes and getattr(error, "code", None) in throttled_codes:
        verdict = Verdict.THROTTLED
    verdict = verdict or _of_status(status_of(answer), said) or _of_kind(error)
    return Attempted(verdict, was_sent=not is_unsent(error), said=said)


def _classified(classify: Classify | None, value: Any) -> Verdict | None:
    """Ask a rule of one's own; one that fails itself must not cost the answer."""
    if classify is None:
        return None
    try:
        verdict = classify(value)
        return None if verdict is None else Verdict(verdict)
    except Exception:
        log.exception("call_not_classified")
        return None


def answer_of(error: Exception) -> Any:
    """Return the response that an error of a client brings, or the error itself, which may have a status."""
    response = getattr(error, "response", None)
    return error if response is None else response


def status_of(value: Any) -> int | None:
    """Return the HTTP status of a response or an error, whichever client made it; None: it has none."""
    for name in ("status_code", "status"):
        status = getattr(value, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            return status
    return None


def said_by(value: Any, now_ms: int) -> Said:
    headers = getattr(value, "headers", None)
    if headers is None or not isinstance(headers, Mapping):
        return NOTHING_SAID
    joined: dict[str, str] = {}
    for name, line in headers.items():  # a client may have each line of a header by itself
        lower = str(name).lower()
        joined[lower] = f"{joined[lower]}, {line}" if lower in joined else str(line)
    return read(joined, now_ms)


def is_unsent(error: BaseException) -> bool:
    """Tell whether an error came before any byte was sent; a library's own may have such a cause."""
    return any(isinstance(each, UNSENT_ERRORS) or _is_one_of(each, UNSENT_NAMES) for each in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if at is None:
            return
        yield at
        at = at.__cause__


def _is_one_of(error: BaseException, names: frozenset[str]) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _of_status(status: int | None, said: Said) -> Verdict | None:
    if status is None:
        return None
    is_out = said.hold_until_ms is not None or any(quota.left == 0 for quota in said.quotas)
    if status == TOO_MANY or (status == FORBIDDEN and is_out):
        return Verdict.THROTTLED
    return Verdict.FAILED if status >= 500 or status in RETRIED_STATUSES else Verdict.WELL


def _of_kind(error: Exception) -> Verdict:
    """Judge an error without a status: of the network or a client's library it is the service's, else the caller's."""
    if any(_is_one_of(each, OWN_NAMES) for each in _causes(error)):
        return Verdict.WRONG
    if isinstance(error, OSError | EOFError):  # TimeoutError is one
        return Verdict.FAILED
    return Verdict.WRONG if hasattr(builtins, type(error).__name__) else Verdict.FAILED
