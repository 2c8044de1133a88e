"""How far the time of the queue in Redis is from that of this process."""

from __future__ import annotations

from tempogram.engine.model.clock import Clock
from tempogram.engine.resilience.conditions import Condition, Conditions

DIFFER_MS = 5_000
"""From here on the difference is a condition. untuned: what is for a time of day goes earlier or later by as much."""

OFF_MS = 60_000
"""From here on the queue is rebuilt by the clock of the leader. untuned: less is not worth the pause."""


class ClockGap:
    """Compares the clocks at each answer that has the time of Redis, and reports a difference as a condition.

    The queue goes by the clock of the process that began it, so that it may be that of Redis that is wrong.
    """

    def __init__(self, own_clock: Clock, conditions: Conditions) -> None:
        self.own_clock = own_clock
        self._conditions = conditions
        self._gap_ms = 0

    @property
    def is_off(self) -> bool:
        """Whether the queue should be rebuilt, if this process leads."""
        return abs(self._gap_ms) >= OFF_MS

    def note(self, *, asked_at_ms: int, now_ms: int, ahead_ms: int) -> None:
        """Note an answer.

        Args:
            asked_at_ms: When the queue was asked, by the clock of this process.
            now_ms: The time of the queue.
            ahead_ms: How far that was ahead of the clock of Redis.
        """
        answered_at_ms = self.own_clock()
        self._gap_ms = _outside(now_ms, asked_at_ms, answered_at_ms)
        of_redis_ms = _outside(now_ms - ahead_ms, asked_at_ms, answered_at_ms)
        if abs(self._gap_ms) >= DIFFER_MS:
            self._begin("the time of the queue in Redis is {} this process's clock", self._gap_ms)
        elif abs(of_redis_ms) >= DIFFER_MS:
            self._begin("the clock of Redis is {} this process's; the queue goes by that of processes", of_redis_ms)
        else:
            self._conditions.end(Condition.CLOCKS_DIFFER)

    def _begin(self, reason: str, gap_ms: int) -> None:
        side = "ahead of" if gap_ms > 0 else "behind"
        self._conditions.begin(Condition.CLOCKS_DIFFER, reason.format(f"{abs(gap_ms) / 1_000:.0f} s {side}"))


def _outside(at_ms: int, since_ms: int, until_ms: int) -> int:
    """Return by how much a time is after, or (negative) before, a span of time.

    >>> [_outside(at_ms, 10, 20) for at_ms in (7, 10, 20, 21)]
    [-3, 0, 0, 1]
    """
    return max(0, at_ms - until_ms) or min(0, at_ms - since_ms)
