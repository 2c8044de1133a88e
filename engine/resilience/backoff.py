"""How long what failed waits before it is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tempogram.engine.model.errors import SettingsError

DOUBLINGS_MAX = 40
"""Beyond, any pause is longer than its maximum; and the number stays a short one."""


def doubled_ms(first_ms: int, times: int, *, ms_max: int) -> int:
    """Return a pause that was doubled so many times.

    >>> [doubled_ms(1_000, times, ms_max=5_000) for times in (0, 1, 2, 3, 10**9)]
    [1000, 2000, 4000, 5000, 5000]
    """
    return min(ms_max, first_ms << min(times, DOUBLINGS_MAX))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Full jitter spreads the retries of many messages that failed together over the
    whole span: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    retries_max: int = 5
    delay_ms_min: int = 1_000
    delay_ms_max: int = 60_000

    def __post_init__(self) -> None:
        if self.retries_max < 0:
            raise SettingsError(f"{self.retries_max} retries make no sense; 0 means that none is made")
        if not 0 <= self.delay_ms_min <= self.delay_ms_max:
            raise SettingsError(
                f"the first delay ({self.delay_ms_min} ms) must lie between 0 and the last ({self.delay_ms_max} ms)"
            )

    def span_ms(self, attempt: int) -> int | None:
        """Return the longest wait after failed attempt ``attempt``, or None to give up.

        >>> [RetryPolicy().span_ms(attempt) for attempt in (1, 2, 3, 4, 5, 6)]
        [1000, 2000, 4000, 8000, 16000, None]
        """
        if attempt > self.retries_max:
            return None
        return doubled_ms(self.delay_ms_min, attempt - 1, ms_max=self.delay_ms_max)

    def delay_ms(self, attempt: int) -> int | None:
        """Return how long to wait after failed attempt ``attempt``, or None to give up."""
        span_ms = self.span_ms(attempt)
        return None if span_ms is None else random.randint(0, span_ms)  # noqa: S311 - jitter, not a secret
