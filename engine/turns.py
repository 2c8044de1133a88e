"""Whose turn it is: stride scheduling with a virtual time, in integers.

Each competitor has a *pass*; the lowest pass among those that may go has the turn,
and its pass then rises by cost / weight. The virtual time keeps newcomers and
those that come back from claiming the turns they missed: it rises by one stride
for each round in which everybody who waits had one turn, so nobody who waits is
overtaken by newcomers for longer than a round.

Source: Waldspurger, Weihl: Stride Scheduling, MIT/LCS/TM-528, 1995.
"""

from __future__ import annotations

STRIDE = 1 << 24
"""The pass of one turn at weight 1; large, so that weights divide it finely."""


class Turns:
    """The virtual time of one group of competitors (the priorities; a priority's bots; a bot's chats).

    >>> turns = Turns()
    >>> mine = turns.enter(0, weight=1); yours = turns.enter(0, weight=1)
    >>> mine = turns.serve(mine, cost=1, weight=1)
    >>> mine > yours
    True
    """

    __slots__ = ("_last", "_now", "_weight")

    def __init__(self) -> None:
        self._now = 0
        self._last = 0  # the highest pass ever given
        self._weight = 0  # of all who wait

    def enter(self, last_pass: int, *, weight: int) -> int:
        """Return the pass of one who begins to wait, given its last one (0 if it never had one)."""
        self._weight += weight
        return max(last_pass, self._now)

    def leave(self, *, weight: int) -> None:
        """One of them has nothing waiting any more."""
        self._weight -= weight
        if not self._weight:
            self._now = self._last

    def serve(self, its_pass: int, *, cost: int, weight: int) -> int:
        """Return the pass of one that has just had a turn, which is still counted as waiting."""
        start = max(its_pass, self._now)
        self._now = max(start, self._now + STRIDE * cost // self._weight)
        after = start + STRIDE * cost // weight
        self._last = max(self._last, after)
        return after

    def is_past(self, its_pass: int) -> bool:
        """Tell whether a newcomer would get this pass or a higher one, so that it can be forgotten."""
        return its_pass <= self._now
