"""How long an operation is left alone after 429s that do not say it: doubled each time it was called again in vain."""

from __future__ import annotations

from tempogram.engine.resilience.backoff import doubled_ms

PAUSE_MS_MAX = 60_000


class ThrottledPause:
    """One for each operation, in each process. Times are in milliseconds.

    Calls that were under way together are throttled together: that is once.

    >>> pause = ThrottledPause()
    >>> [pause.until_ms(now_ms, first_ms=1_000) for now_ms in (0, 1, 2, 1_000, 3_000)]
    [1000, 1000, 1000, 3000, 7000]
    """

    __slots__ = ("_times", "_until_ms")

    def __init__(self) -> None:
        self._times = 0
        self._until_ms = 0

    def until_ms(self, now_ms: int, *, first_ms: int) -> int:
        """Note a 429, and return until when nothing is called."""
        if now_ms >= self._until_ms:
            self._until_ms = now_ms + doubled_ms(first_ms, self._times, ms_max=PAUSE_MS_MAX)
            self._times += 1
        return self._until_ms

    def end(self, now_ms: int) -> None:
        """Note an answer that is no 429; one of a call from before the pause ends nothing."""
        if now_ms >= self._until_ms:
            self._times = 0
