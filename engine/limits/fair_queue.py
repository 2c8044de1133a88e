"""The arithmetic of turns: start-time fair queueing, in integers.

The competitors are priorities, bots and chats; ``brokers/memory/lanes`` says who competes with whom.
Each competitor has a *pass*; the lowest pass among those that may go has the turn, and
its pass then rises by cost / weight. So each that waits gets its share, whatever its
messages cost. The *virtual time* is the pass with which the last turn began: none that
could go is behind it. A competitor that begins to wait enters at the virtual time, or keeps its own
pass if that is higher: it neither claims turns from before nor stands behind those that waited.

Sources: Waldspurger, Weihl: Stride Scheduling, MIT/LCS/TM-528, 1995 (pass, stride).
Goyal, Vin, Cheng: Start-time Fair Queuing, SIGCOMM 1996 (the virtual time).
"""

from __future__ import annotations

STRIDE = 1 << 24
"""The pass of one turn at weight 1; large, so that weights divide it finely."""

LAG = 16 * STRIDE
"""How far a competitor that could not go for a while may lag, and make good for it.

While a chat has its one message in flight, or a bot waits for its next slot, the others go
ahead, by an album of ten at most: such a lag is kept, or messages of different costs would
share unfairly. One that lags further was held, paused or at its own limit, and would keep
all others waiting for as long. The next power of two after ten.
"""


class FairQueue:
    """The virtual time of one group of competitors.

    Args:
        entry: How much later than the virtual time a newcomer enters. One stride where
            newcomers never end (chats): each counts as one that has just had a turn, so
            it goes behind those that wait for theirs. 0 where all are known and keep
            their pass while they are away (priorities, bots): they may go at once.

    >>> turns = FairQueue()
    >>> mine = turns.enter(0); yours = turns.enter(0)
    >>> mine = turns.serve(mine, cost=1, weight=1)
    >>> mine > yours
    True
    """

    __slots__ = ("_entry", "_last", "_newcomers_pass", "_now", "_waiting")

    def __init__(self, *, entry: int = 0) -> None:
        self._entry = entry
        self._now = 0
        self._last = 0  # the highest pass ever given
        self._waiting = 0
        self._newcomers_pass = entry  # one object for all that enter at one time: a million of them took 32 MB

    def enter(self, last_pass: int) -> int:
        """Return the pass of one that begins to wait, given its last one (0 if it never had one)."""
        self._waiting += 1
        if self._newcomers_pass != self._now + self._entry:
            self._newcomers_pass = self._now + self._entry
        return last_pass if last_pass > self._newcomers_pass else self._newcomers_pass

    def leave(self) -> None:
        """One of them has nothing waiting any more; when none has, all debts are forgotten."""
        self._waiting -= 1
        if not self._waiting:
            self._now = self._last

    def serve(self, its_pass: int, *, cost: int, weight: int) -> int:
        """Return the pass of one that has just had a turn, which is still counted as waiting."""
        start = its_pass
        if start > self._now:
            self._now = start
        elif start < self._now - LAG:
            start = self._now - LAG
        after = start + STRIDE * cost // weight
        if after > self._last:
            self._last = after
        return after

    def rank(self, its_pass: int) -> int:
        """Return its pass as it counts for saving up: one that lags ranks no better than one that has just come."""
        return its_pass if its_pass > self._now else self._now

    def is_past(self, its_pass: int) -> bool:
        """Tell whether a newcomer would get this pass or a higher one, so that it can be forgotten."""
        return its_pass <= self._now + self._entry
