"""What a service allows, and how much of it a call takes: versioned data, checked when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tempogram.engine.model.errors import SettingsError

CONCURRENCY_MAX = 10_000
COUNT_MAX = 1_000_000_000
WINDOW_MS_MAX = 31 * 86_400_000

KEPT_FROM_MS = 5_000
"""Uses of a window longer than this are kept in the database: a restart must not give the budget anew. After a restart
a shorter window waits for its own length, which a start takes anyway."""

WORDS = {
    "max_concurrent": "concurrency",
    "min_time": "apart_ms",
    "reservoir": "count",
    "reservoir_refresh_amount": "count",
    "reservoir_refresh_interval": "window_ms",
}
"""Bottleneck's words for the same, times in milliseconds.

Source: https://github.com/SGrondin/bottleneck#constructor
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimit:
    """What one limiter allows; each part may be missing, and all that are there hold at once.

    Attributes:
        count: Units in any ``window_ms``: calls, or what they cost (tokens of a model). 0 is no limit.
        window_ms: Milliseconds, 0 without ``count``.
        burst: Units at once after a pause, refilled at ``count`` a window; None: the window alone.
        apart_ms: Milliseconds between the beginnings of two calls.
        concurrency: Calls at the same time; 0 is any number.
    """

    count: int = 0
    window_ms: int = 0
    burst: int | None = None
    apart_ms: int = 0
    concurrency: int = 0

    def __post_init__(self) -> None:
        _check("count", self.count, COUNT_MAX)
        _check("window_ms", self.window_ms, WINDOW_MS_MAX)
        _check("apart_ms", self.apart_ms, WINDOW_MS_MAX)
        _check("concurrency", self.concurrency, CONCURRENCY_MAX)
        if bool(self.count) != bool(self.window_ms):
            raise SettingsError(
                f"a count of {self.count} in a window of {self.window_ms} ms is no limit; set both, or neither"
            )
        if self.burst is None:
            return
        _check("burst", self.burst, COUNT_MAX)
        if not 1 <= self.burst <= self.count:
            raise SettingsError(f"a burst of {self.burst} must be between 1 and the count, {self.count}")

    @property
    def is_kept(self) -> bool:
        """Tell whether its uses are kept in the database."""
        return self.window_ms > KEPT_FROM_MS

    @property
    def is_none(self) -> bool:
        return not (self.count or self.apart_ms or self.concurrency)


def limit_of(words: Mapping[str, Any], base: CallLimit | None = None) -> CallLimit:
    """Return a limit from our words, or from Bottleneck's; what they leave out is as in ``base``.

    >>> limit_of({"max_concurrent": 5, "min_time": 200, "reservoir": 10, "reservoir_refresh_interval": 1000})
    CallLimit(count=10, window_ms=1000, burst=None, apart_ms=200, concurrency=5)

    Raises:
        SettingsError: A word is not known, two say different things, or a value makes no limit.
    """
    given: dict[str, Any] = {}
    for word, value in words.items():
        ours = WORDS.get(word, word)
        if ours not in CallLimit.__slots__:
            known = ", ".join((*CallLimit.__slots__, *WORDS))
            raise SettingsError(f"{word} is no part of a limit; there are {known}")
        if given.setdefault(ours, value) != value:
            raise SettingsError(f"{word} ({value}) and another word for it ({given[ours]}) differ")
    return replace(base or CallLimit(), **given)


def _check(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number from 0 to {most:,}")
