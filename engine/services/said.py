"""What a service says of its limits in an answer: headers, in the forms that are in use.

Sources: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after (Retry-After),
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (RateLimit, RateLimit-Policy),
https://docs.x.com/x-api/fundamentals/rate-limits (x-rate-limit-*),
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (x-ratelimit-*),
https://platform.openai.com/docs/guides/rate-limits (x-ratelimit-*-requests, x-ratelimit-*-tokens),
https://docs.anthropic.com/en/api/rate-limits (anthropic-ratelimit-*)

A header that makes no sense (negative, no number, too long) is as if it were not there; nothing holds for longer than
``HOLD_MS_MAX``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HOLD_MS_MAX = 31 * 86_400_000
"""The longest hold that is believed. untuned: a month is the longest window that anyone sells."""

EPOCH_FROM_S = 1_000_000_000
"""A reset above is a time since the epoch, below it a number of seconds from now: 30 years, or the year 2001."""

VALUE_MAX = 64
"""Characters of a header with one value; the longest, a date, has 39."""

LIST_MAX = 2_000
"""Characters that are read of a header with a list."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

_STRING = r'"[^"]*"'
_ITEM = re.compile(rf'\s*({_STRING}|[^\s;,"]+)((?:\s*;\s*[\w*.\-]+(?:=(?:{_STRING}|[^;,"]*))?)*)\s*(?:,|$)')
_PARAMETER = re.compile(rf';\s*([\w*.\-]+)=({_STRING}|[^;,"]*)')
"""Structured fields, as far as these headers need them: https://www.rfc-editor.org/rfc/rfc9651#name-lists"""

_UNITS = {"": "calls", "requests": "calls", "tokens": "tokens"}
"""What the draft's ``qu`` says is counted; quotas of anything else (bytes, calls at once) are passed over."""

FORMS = (
    ("calls", "x-rate-limit-{}"),
    ("calls", "x-ratelimit-{}"),
    ("calls", "ratelimit-{}"),
    ("calls", "x-ratelimit-{}-requests"),
    ("tokens", "x-ratelimit-{}-tokens"),
    ("calls", "anthropic-ratelimit-requests-{}"),
    ("tokens", "anthropic-ratelimit-tokens-{}"),
)
"""The names of ``limit``, ``remaining`` and ``reset``, and what they count."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of one limit of the service.

    Attributes:
        left: Units that may still be used until then.
        until_ms: When all of it is there again, milliseconds since the epoch.
        of: The limit itself; None if the service did not say.
        unit: ``"calls"`` or ``"tokens"``.
    """

    left: int
    until_ms: int
    of: int | None = None
    unit: str = "calls"


@dataclass(frozen=True, slots=True)
class Said:
    """The service's own word.

    Attributes:
        hold_until_ms: Nothing may be called before, milliseconds since the epoch; None: it did not say so.
        quotas: One for each unit: the one of which least is left.
    """

    hold_until_ms: int | None = None
    quotas: tuple[Quota, ...] = ()


def read(headers: Mapping[str, str], now_ms: int) -> Said:
    """Return what the headers of an answer say; what cannot be read is as if it were not there.

    >>> read({"Retry-After": "7"}, 1_000)
    Said(hold_until_ms=8000, quotas=())
    >>> read({"x-ratelimit-remaining-tokens": "90", "x-ratelimit-reset-tokens": "1m2s"}, 0).quotas
    (Quota(left=90, until_ms=62000, of=None, unit='tokens'),)

    Args:
        headers: In any case.
        now_ms: Milliseconds since the epoch.
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    clock = _Clock(now_ms, _date_ms(given.get("date", "")))
    is_cached = bool(_number(given.get("age", "")))  # what was left, and when, is long gone
    return Said(_hold_until_ms(given, clock), () if is_cached else tuple(_narrowest(_quotas(given, clock))))


@dataclass(frozen=True, slots=True)
class _Clock:
    """Turns what a service says of time into our time; its own clock need not be right.

    Attributes:
        said_ms: What its clock said as it answered; None: it did not say.
    """

    now_ms: int
    said_ms: int | None

    def after(self, seconds: float) -> int:
        return self.now_ms + int(min(seconds * 1_000, HOLD_MS_MAX))

    def at(self, at_ms: int) -> int:
        """Return a time of the service's clock: of two times of its own the difference counts."""
        after_ms = at_ms - (self.now_ms if self.said_ms is None else self.said_ms)
        return self.now_ms + min(max(0, after_ms), HOLD_MS_MAX)


def _hold_until_ms(headers: Mapping[str, str], clock: _Clock) -> int | None:
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return clock.after(milliseconds / 1_000)
    value = headers.get("retry-after", "")
    seconds = [_number(each) for each in value[:VALUE_MAX].split(",")]  # of several the longest counts
    if None not in seconds:
        return clock.after(max(each for each in seconds if each is not None))
    until_ms = _date_ms(value)
    return None if until_ms is None else clock.at(until_ms)


def _narrowest(quotas: Iterable[Quota]) -> Iterator[Quota]:
    by_unit: dict[str, Quota] = {}
    for quota in quotas:
        known = by_unit.get(quota.unit)
        if known is None or quota.left < known.left:
            by_unit[quota.unit] = quota
    yield from by_unit.values()


def _quotas(headers: Mapping[str, str], clock: _Clock) -> Iterator[Quota]:
    yield from _structured(headers, clock)
    for unit, form in FORMS:
        if (quota := _named(headers, form, unit, clock)) is not None:
            yield quota


def _named(headers: Mapping[str, str], form: str, unit: str, clock: _Clock) -> Quota | None:
    left = _number(headers.get(form.format("remaining"), ""))
    reset_ms = _reset_ms(headers.get(form.format("reset"), ""), clock)
    if left is None or reset_ms is None:
        return None
    return _quota(left, reset_ms, _number(headers.get(form.format("limit"), "").partition(",")[0]), unit)


def _quota(left: float, until_ms: int, of: float | None, unit: str) -> Quota:
    if not of:  # a limit of 0 would be none at all
        return Quota(int(left), until_ms, None, unit)
    return Quota(int(min(left, of)), until_ms, int(of), unit)


def _structured(headers: Mapping[str, str], clock: _Clock) -> Iterator[Quota]:
    """Yield the quotas of ``RateLimit``: in the draft's newest form, or as ``limit=100, remaining=50, reset=30``."""
    value = headers.get("ratelimit", "")
    policies = dict(_items(headers.get("ratelimit-policy", "")))
    for name, words in _items(value):
        policy = policies.get(name, {})
        left, after_s = _number(words.get("r", "")), _number(words.get("t", policy.get("w", "")))
        unit = _UNITS.get(policy.get("qu", ""))
        if left is not None and after_s is not None and unit is not None:
            yield _quota(left, clock.after(after_s), _number(policy.get("q", "")), unit)
    pairs = (pair.partition("=") for pair in value[:LIST_MAX].lower().split(","))
    old = _named({name.strip(): word.strip() for name, _, word in pairs}, "{}", "calls", clock)
    if old is not None:
        yield old


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each item of a list with its parameters, up to the first that is none."""
    value, at = value[:LIST_MAX], 0
    while (item := _ITEM.match(value, at)) is not None and item.end() > at:
        yield item[1].strip('"'), {name: of.strip().strip('"') for name, of in _PARAMETER.findall(item[2])}
        at = item.end()


def _reset_ms(value: str, clock: _Clock) -> int | None:
    if (number := _number(value)) is not None:
        if number < EPOCH_FROM_S:
            return clock.after(number)
        return clock.at(int(number if number >= EPOCH_FROM_S * 1_000 else number * 1_000))
    parts = _DURATION.findall(value[:VALUE_MAX])
    if parts and "".join(number + unit for number, unit in parts) == value:
        return clock.after(sum(float(number) * _UNIT_S[unit] for number, unit in parts))
    at_ms = _date_ms(value)
    return None if at_ms is None else clock.at(at_ms)


def _number(value: str) -> float | None:
    """Return a number that is no less than 0 and not absurd.

    >>> _number("7"), _number("0.5"), _number("-1"), _number("nan"), _number("")
    (7.0, 0.5, None, None, None)
    """
    if len(value) > VALUE_MAX or not re.fullmatch(r"\d{1,16}(\.\d{1,9})?", value.strip(), re.ASCII):
        return None
    return min(float(value), float(10**15))


def _date_ms(value: str) -> int | None:
    """Return the time of a date as HTTP or as RFC 3339 writes it."""
    if not 10 <= len(value) <= VALUE_MAX:
        return None
    try:
        date = datetime.fromisoformat(value) if value[:4].isdecimal() else parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return int((date - epoch).total_seconds() * 1_000)
