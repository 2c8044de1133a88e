"""A limit that a 429 lowers for a while, because Telegram seems to count otherwise than we do.

Multiplicative down, additive up, as TCP shares a line of unknown width: what is too much is
left quickly, and the true limit is felt for slowly.

Source: Chiu, Jain: Analysis of the Increase and Decrease Algorithms for Congestion Avoidance, 1989.
"""

from __future__ import annotations

from math import ceil

from tempogram.engine.limits.limits import Limit

DOWN_PERCENT = 70
"""What is left after a 429. TCP halves, for a line that many share.

untuned: the limit rises again by a place a window, so a wrong step costs a few windows."""

DOUBT_MS = 60_000
"""How long a 429 that our count does not explain makes us keep the guard: one window of a group.

untuned: while it is kept, each place stays taken for ``Limits.guard_ms`` longer, some percent of a second."""

BLAME_MS = 2_000
"""Two chats throttled within this time, neither near its limit: the bot is meant. From the design."""


class AdaptiveLimit:
    """How many places are used of a limit.

    >>> adapted = AdaptiveLimit(Limit(20, 60_000), least=0.3)
    >>> adapted.lower(0); adapted.places
    14
    >>> adapted.rise(120_000); adapted.places
    16
    """

    __slots__ = ("_least", "_lowered_at_ms", "_window_ms", "full", "places", "rises_at_ms")

    def __init__(self, limit: Limit, *, least: float) -> None:
        self.full = self.places = limit.places
        self.rises_at_ms = 0
        self._least = max(1, ceil(self.full * least))
        self._window_ms = limit.window_ms
        self._lowered_at_ms: int | None = None

    def lower(self, now_ms: int) -> None:
        """Take fewer places; once in a window, because calls that were under way together are one sign."""
        self.rises_at_ms = now_ms + self._window_ms
        if self._lowered_at_ms is None or now_ms - self._lowered_at_ms >= self._window_ms:
            self._lowered_at_ms = now_ms
            self.places = min(self.places, max(self._least, self.places * DOWN_PERCENT // 100))

    def rise(self, now_ms: int) -> None:
        """Take one place more for each window that has passed without another 429."""
        while self.rises_at_ms <= now_ms and self.is_lower:
            self.places += 1
            self.rises_at_ms += self._window_ms

    @property
    def is_lower(self) -> bool:
        return self.places < self.full
