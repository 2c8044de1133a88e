"""What a service says of its limits in an answer: headers, in the forms that are in use.

Sources: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after (Retry-After),
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (RateLimit, RateLimit-Policy),
https://docs.x.com/x-api/fundamentals/rate-limits (x-rate-limit-*),
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (x-ratelimit-*),
https://platform.openai.com/docs/guides/rate-limits (x-ratelimit-*-requests, x-ratelimit-*-tokens)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HOLD_MS_MAX = 31 * 86_400_000
"""The longest hold that is believed. untuned: a month is the longest window that anyone sells."""

EPOCH_FROM_S = 1_000_000_000
"""A reset above is a time since the epoch, below it a number of seconds from now: 30 years, or the year 2001."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_ITEM = re.compile(r'\s*"?([\w*.\-]+)"?((?:\s*;\s*[\w*.\-]+=[^;,]+)*)')


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
        quotas: One for each unit.
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
    given = {name.lower(): value for name, value in headers.items()}
    return Said(_hold_until_ms(given, now_ms), tuple(_quotas(given, now_ms)))


def _hold_until_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if (seconds := _number(value)) is not None:
        return now_ms + min(int(seconds * 1_000), HOLD_MS_MAX)
    until, said = _date_ms(value), _date_ms(headers.get("date", ""))
    if until is None:
        return None
    # Of two dates of the service the difference counts: its clock need not be ours.
    after_ms = until - (now_ms if said is None else said)
    return now_ms + min(max(0, after_ms), HOLD_MS_MAX)


def _quotas(headers: Mapping[str, str], now_ms: int) -> Iterator[Quota]:
    if (standard := _structured(headers, now_ms)) is not None:
        yield standard
        return
    for prefix in ("x-rate-limit-", "x-ratelimit-", "ratelimit-"):
        quota = _named(headers, prefix, "", "calls", now_ms)
        if quota is not None:
            yield quota
            break
    for unit, suffix in (("calls", "-requests"), ("tokens", "-tokens")):
        quota = _named(headers, "x-ratelimit-", suffix, unit, now_ms)
        if quota is not None:
            yield quota


def _named(headers: Mapping[str, str], prefix: str, suffix: str, unit: str, now_ms: int) -> Quota | None:
    left = _number(headers.get(f"{prefix}remaining{suffix}", ""))
    reset = _reset_ms(headers.get(f"{prefix}reset{suffix}", ""), now_ms)
    if left is None or reset is None:
        return None
    of = _number(headers.get(f"{prefix}limit{suffix}", "").partition(",")[0])
    return Quota(int(left), reset, None if of is None else int(of), unit)


def _structured(headers: Mapping[str, str], now_ms: int) -> Quota | None:
    """Return the narrowest quota of ``RateLimit``: the one of which least is left."""
    policies = {name: _number(of.get("q", "")) for name, of in _items(headers.get("ratelimit-policy", ""))}
    quotas = []
    for name, words in _items(headers.get("ratelimit", "")):
        left, after_s = _number(words.get("r", "")), _number(words.get("t", ""))
        if left is not None and after_s is not None:
            of = policies.get(name)
            until_ms = now_ms + min(int(after_s * 1_000), HOLD_MS_MAX)
            quotas.append(Quota(int(left), until_ms, None if of is None else int(of)))
    if quotas:
        return min(quotas, key=lambda quota: quota.left)
    pairs = dict(pair.strip().split("=", 1) for pair in headers.get("ratelimit", "").split(",") if "=" in pair)
    old = {f"ratelimit-{name.lower()}": value for name, value in pairs.items()}
    return _named(old, "ratelimit-", "", "calls", now_ms) if old else None


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    for item in value[:2_000].split(","):
        found = _ITEM.fullmatch(item.strip())
        if found:
            words = (word.split("=", 1) for word in found[2].split(";") if "=" in word)
            yield found[1], {name.strip(): given.strip().strip('"') for name, given in words}


def _reset_ms(value: str, now_ms: int) -> int | None:
    value = value.strip()
    if (number := _number(value)) is not None:
        if number >= EPOCH_FROM_S * 1_000:
            return _bounded(int(number), now_ms)
        return _bounded(int(number * 1_000) if number >= EPOCH_FROM_S else now_ms + int(number * 1_000), now_ms)
    parts = _DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return _bounded(now_ms + int(sum(float(number) * _UNIT_S[unit] for number, unit in parts) * 1_000), now_ms)
    at_ms = _date_ms(value)
    return None if at_ms is None else _bounded(at_ms, now_ms)


def _bounded(at_ms: int, now_ms: int) -> int:
    return min(max(at_ms, now_ms), now_ms + HOLD_MS_MAX)


def _number(value: str) -> float | None:
    """Return a number that is no less than 0 and not absurd.

    >>> _number("7"), _number("0.5"), _number("-1"), _number("nan"), _number("")
    (7.0, 0.5, None, None, None)
    """
    if not re.fullmatch(r"\d{1,16}(\.\d{1,9})?", value.strip()):
        return None
    return min(float(value), float(10**15))


def _date_ms(value: str) -> int | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return int((date - epoch).total_seconds() * 1_000)
