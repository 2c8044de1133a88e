from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
import pytest

from tempogram.engine.services.answers import Verdict, of_error, of_result
from tempogram.engine.services.errors import CircuitOpen

NOW_MS = 1_700_000_000_000


@dataclass
class Response:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class LibraryError(Exception):
    """What a client library makes of an error below it."""


def caused_by(cause: Exception) -> LibraryError:
    error = LibraryError("connection error")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (Response(200), Verdict.WELL),
        (Response(404), Verdict.WELL),
        (Response(408), Verdict.FAILED),
        (Response(500), Verdict.FAILED),
        (Response(429), Verdict.THROTTLED),
        (Response(403), Verdict.WELL),
        (Response(403, {"Retry-After": "60"}), Verdict.THROTTLED),
        (Response(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}), Verdict.THROTTLED),
        (Response(403, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"}), Verdict.WELL),
    ],
)
def test_a_status_says_what_came_of_an_attempt(response: Response, verdict: Verdict) -> None:
    assert of_result(response, NOW_MS).verdict == verdict


@pytest.mark.parametrize(
    ("error", "verdict", "was_sent"),
    [
        (ConnectionRefusedError(), Verdict.FAILED, False),
        (httpx.ConnectTimeout(""), Verdict.FAILED, False),
        (caused_by(httpx.ConnectError("")), Verdict.FAILED, False),
        (caused_by(httpx.ReadTimeout("")), Verdict.FAILED, True),
        (httpx.PoolTimeout(""), Verdict.WRONG, False),
        (httpx.UnsupportedProtocol(""), Verdict.WRONG, True),
        (caused_by(CircuitOpen("shop:pay fails, and is not called for now", 0)), Verdict.WRONG, True),
        (KeyError("a typing mistake"), Verdict.WRONG, True),
    ],
    ids=repr,
)
def test_an_error_says_whose_it_is_and_whether_anything_was_sent(
    error: Exception,
    verdict: Verdict,
    was_sent: bool,  # noqa: FBT001
) -> None:
    attempted = of_error(error, NOW_MS)

    assert (attempted.verdict, attempted.was_sent) == (verdict, was_sent)


def test_an_error_that_causes_itself_is_judged() -> None:
    error = LibraryError()
    error.__cause__ = error

    assert of_error(error, NOW_MS).verdict == Verdict.FAILED


def test_a_header_in_two_lines_is_one_list() -> None:
    lines = httpx.Headers([("RateLimit", '"hour";r=9;t=60'), ("RateLimit", '"second";r=0;t=1')])

    (quota,) = of_result(Response(200, lines), NOW_MS).said.quotas

    assert (quota.left, quota.until_ms) == (0, NOW_MS + 1_000)


class DeprecatingError(Exception):
    """As aiohttp's error of a response: it has a status, and warns when its code is read."""

    status = 500

    @property
    def code(self) -> int:
        warnings.warn("use status instead", DeprecationWarning, stacklevel=2)
        return self.status


def test_the_code_of_an_error_is_read_only_where_codes_are_declared() -> None:
    assert of_error(DeprecatingError(), NOW_MS).verdict is Verdict.FAILED
