"""How far apart calls of a source begin: twice as far while more than a tenth of them fail."""

from __future__ import annotations

CALLS = 20
"""The share of failures is that of so many calls. untuned: at 500 ms apart it is seen within 10 s."""

SHARE = 0.1

SLOWED_MS = 5_000
"""The pause at the least while the pace is slowed."""

PAUSE_MS_MAX = 60_000
"""The longest, so that a source that works again is noticed: after 20 calls."""


class Pace:
    """The pace of one source.

    It is slowed as soon as more than a tenth of ``CALLS`` have failed, again if that happens again, and is as before
    once so many calls have been made of which at most a tenth failed.
    """

    def __init__(self, pause_ms: int) -> None:
        self._usual_ms = pause_ms
        self.pause_ms = pause_ms
        self._calls = 0
        self._failed = 0

    @property
    def is_slowed(self) -> bool:
        return self.pause_ms > self._usual_ms

    def resume(self, pause_ms: int) -> None:
        """Go on at the pace at which another process has asked; 0: as usual."""
        if max(pause_ms, self._usual_ms) != self.pause_ms:
            self._begin(pause_ms)

    def note(self, *, failed: bool) -> None:
        """Count a call."""
        self._calls += 1
        self._failed += failed
        if self._failed > SHARE * CALLS:
            self._begin(min(PAUSE_MS_MAX, max(SLOWED_MS, 2 * self.pause_ms)))
        elif self._calls == CALLS:
            self._begin(self._usual_ms)

    def _begin(self, pause_ms: int) -> None:
        self.pause_ms = max(pause_ms, self._usual_ms)
        self._calls = self._failed = 0
