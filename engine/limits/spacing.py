"""What drains at a rate: ``burst`` at once, then one after another.

TWIN  lua/spacing.lua
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from tempogram.engine.limits.limits import Limit

LATE_MS = 20
"""How late a worker may come without leaving slots unused: a busy event loop's turn.

untuned: longer only lets more leave at once where a slot is shorter than this."""


class Spacing:
    """``burst`` at once, then ``count`` in each ``window_ms``; what is spent is spent, but for what Telegram refused.

    Kept as the time at which all that was spent has drained, in units of 1/count ms, so
    that 30 a second stays exact in integers.

    >>> apart = Spacing(Limit(1, 1_000, burst=2))
    >>> apart.spend(0, 1); apart.spend(0, 1)
    >>> apart.free_at_ms(0, 1)
    1000
    """

    __slots__ = ("_capacity", "_drained_at", "_limit")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._capacity = limit.burst or limit.count
        self._drained_at = 0

    def free_at_ms(self, now_ms: int, cost: int) -> int:
        """Return when so many fit. What costs more than fits at all leaves when all has drained, and owes the rest."""
        limit, spare = self._limit, self._capacity - cost
        drained_at = self._drained_at - spare * limit.window_ms if spare > 0 else self._drained_at
        free_at_ms = -(-drained_at // limit.count)
        return free_at_ms if free_at_ms > now_ms else now_ms

    def earliest_ms(self, now_ms: int, costs: Sequence[int]) -> int:
        """Return when the last of so many may go one after another."""
        later = copy(self)
        for cost in costs[:-1]:
            later.spend(now_ms, cost)
        return later.free_at_ms(now_ms, costs[-1])

    def narrow(self, places: int, now_ms: int) -> None:
        """Go on with another count a window; what is spent drains at the new rate."""
        old, self._limit = self._limit, replace(self._limit, count=places)
        self._capacity = min(self._limit.burst or places, places)
        # No sooner than before in time, and no less than before in messages.
        owed = max(0, self._drained_at - now_ms * old.count)
        self._drained_at = max(-(-self._drained_at * places // old.count), now_ms * places + owed)

    def hold_at_most(self, places: int) -> None:
        """Let only so many leave at once; the rate stays."""
        self._capacity = min(self._limit.burst or places, places)

    def is_drained(self, now_ms: int) -> bool:
        return self._drained_at <= now_ms * self._limit.count

    def room(self, now_ms: int) -> int:
        """Return how many fit at once."""
        owed = max(0, self._drained_at - now_ms * self._limit.count)
        return self._capacity - -(-owed // self._limit.window_ms)

    def go_on_from(self, other: Spacing) -> None:
        """Take over what was spent of another, which turned out to be this one."""
        theirs = -(-other._drained_at * self._limit.count // other._limit.count)
        self._drained_at = max(self._drained_at, theirs)

    def spend(self, at_ms: int, cost: int) -> None:
        """Pour at a time; of two that come in the wrong order the earlier counts as late as the later."""
        limit, drained_at = self._limit, at_ms * self._limit.count
        if drained_at < self._drained_at:
            drained_at = self._drained_at
        self._drained_at = drained_at + cost * limit.window_ms

    def unspend(self, cost: int) -> None:
        """Take back what was poured, as if it had never been: it has drained a little, and so has what came after."""
        self._drained_at -= cost * self._limit.window_ms

    def fill(self, now_ms: int, cost: int) -> None:
        """Spend so much, but leave no more to drain than if it were all that was spent lately."""
        before, limit = self._drained_at, self._limit
        self.spend(now_ms, cost)
        full_at = now_ms * limit.count + max(self._capacity, cost) * limit.window_ms
        self._drained_at = max(before, min(self._drained_at, full_at))


def spacing(limit: Limit, saved_up: int) -> Spacing | None:
    """Return what keeps normal and low apart: one each window / count, at most ``saved_up`` at once.

    Or as many as fall into ``LATE_MS``, where a slot is shorter than a worker is late.
    """
    if limit.count == 0:
        return None
    at_once = max(saved_up, limit.count * LATE_MS // limit.window_ms)
    return Spacing(Limit(limit.count, limit.window_ms, burst=min(at_once, limit.count)))
