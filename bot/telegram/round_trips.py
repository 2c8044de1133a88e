"""How much of a round trip may be taken off the time of its answer, when Telegram's count of the call is dated.

Telegram counts a call somewhere between its first byte and its answer. Its place is free a window after
``answered - certain way``: the next call of that place is then counted later by its own round trip, or by whatever part
of it Telegram takes before it counts. So no window is broken as long as no later round trip is shorter than the certain
way. How far below the shortest seen a later one may fall is what the guard covers; decision 0001 has the figures.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

KEPT_S = 60.0
"""How long a round trip counts, this span and the one before, because routes change.

untuned: longer is safer and keeps a longer way's window idle for longer after a short one."""

LOWEST_KEPT = 16
"""Of so many at most the gaps are looked at: with 4 too few tell too little, 32 are no better."""

LOWEST_SHARE = 4
"""At most a quarter of all are the lowest: above lies the body of the distribution, which says nothing of its end."""

FEWEST = 8
"""With fewer round trips a gap says nothing: the guard is the whole way, and a place counts from the answer.

untuned: a bot at its limit has so many after a quarter of a second."""

SETTLED_S = 5.0
"""What a process has seen for a shorter time than this is no way that stays: it may have been started during a slow
moment, and the next calls come faster than any that it knows. Meanwhile a place counts from the answer.

untuned: at 120 ms it costs a tenth of the limit for these seconds."""

GAPS = 1.5
"""How many mean gaps the guard is long.

In simulated runs of 600 calls (40 ms, sigma 0.35, counted at the very answer) a window broke in 6 % with 1, in 3 %
with 1.5, in 2 % with 2, and each 0.5 costs 0.2 % of the limit. Without a guard it broke in 80 %; counted half-way, in
none."""

DOUBLED_BELOW = 30
"""With so many round trips the guard is twice as long; with n of them, 1 + 30/n times.

The next window of a busy bot brings 30 more, so with 30 the shortest is undercut as often as not."""


@dataclass(slots=True)
class Span:
    """The round trips of one span of time: how many, and the lowest of them, shortest first."""

    count: int = 0
    lowest_s: list[float] = field(default_factory=list)

    def note(self, round_trip_s: float) -> bool:
        """Count one; tell whether it is among the lowest."""
        self.count += 1
        if len(self.lowest_s) == LOWEST_KEPT and round_trip_s >= self.lowest_s[-1]:
            return False
        insort(self.lowest_s, round_trip_s)
        del self.lowest_s[LOWEST_KEPT:]
        return True


class RoundTrips:
    """The lowest round trips of this minute and the one before, and what they leave certain.

    Args:
        guard_s: A fixed guard; None: it follows what is measured.
        settled_s: For how long round trips must have been seen.

    >>> trips = RoundTrips(guard_s=0.0, settled_s=0.0)
    >>> trips.note(0.050, 0.0), trips.note(0.030, 1.0), trips.note(0.090, 61.0), trips.note(0.090, 200.0)
    (0.05, 0.03, 0.03, 0.09)
    """

    def __init__(self, *, guard_s: float | None = None, settled_s: float = SETTLED_S) -> None:
        self._guard_s = guard_s
        self._settled_s = settled_s
        self._first_s: float | None = None
        self._since_s = 0.0
        self._now = Span()
        self._before = Span()
        self._certain_way_s = 0.0

    def note(self, round_trip_s: float, now_s: float) -> float:
        """Count a round trip, and return the certain way. Cost: O(1), as few are among the lowest."""
        is_next = now_s - self._since_s >= KEPT_S
        if is_next:
            self._before = self._now if now_s - self._since_s < 2 * KEPT_S else Span()
            self._now, self._since_s = Span(), now_s
        is_low = self._now.note(round_trip_s)
        if is_low or is_next or self._now.count % LOWEST_KEPT == 0:
            self._certain_way_s = self._certain_way()
        if self._first_s is None:
            self._first_s = now_s
        return self._certain_way_s if now_s - self._first_s >= self._settled_s else 0.0

    def _certain_way(self) -> float:
        count = self._now.count + self._before.count
        lowest_s = sorted(self._now.lowest_s + self._before.lowest_s)[:LOWEST_KEPT]
        guard_s = measured_guard_s(lowest_s, count) if self._guard_s is None else self._guard_s
        return max(0.0, lowest_s[0] - guard_s)


def measured_guard_s(lowest_s: list[float], count: int) -> float:
    """Return how far a later round trip may fall below the shortest of ``count``, whose lowest are given in order.

    The end of a distribution falls off about exponentially, whatever the distribution: how far a new lowest value
    undercuts the old one has the mean that the lowest have as distance from the highest among them. So a steady way
    needs no guard, and one that varies is guarded as its shortest calls differ.

    Source: Weissman: Estimation of parameters and large quantiles based on the k largest observations, 1978.

    >>> measured_guard_s([0.120, 0.120, 0.120, 0.120], 16), round(measured_guard_s([0.010, 0.011, 0.012, 0.016], 30), 4)
    (0.0, 0.015)
    """
    if count < FEWEST:
        return lowest_s[0]
    few_s = lowest_s[: max(LOWEST_SHARE, count // LOWEST_SHARE)]
    mean_gap_s = sum(few_s[-1] - each_s for each_s in few_s[:-1]) / (len(few_s) - 1)
    return GAPS * mean_gap_s * (1 + DOUBLED_BELOW / count)
