"""A window of uses that weigh differently, and are known beforehand only roughly: what a bot pays, tokens of a model.

TWIN  lua/weighted_window.lua
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tempogram.engine.limits.limits import Limit


class WeightedWindow:
    """At most ``count`` units in any ``window_ms``, of uses that weigh differently.

    Uses are kept in grains, each of which counts from its end: so many entries at most, however many uses. No gate:
    what costs more than the limit never fits.

    >>> window = WeightedWindow(Limit(100, 1_000), grains=1_000)
    >>> window.spend(0, 60); window.spend(10, 40)
    >>> window.free_at_ms(20, 50), window.free_at_ms(20, 70), window.free_at_ms(20, 101)
    (1001, 1011, None)
    >>> window.move(0, 5, 60, 20)
    >>> window.free_at_ms(20, 40), window.free_at_ms(20, 60)
    (20, 1006)
    """

    __slots__ = ("_count", "_ends_ms", "_grain_ms", "_taken", "_units", "_window_ms")

    def __init__(self, limit: Limit, *, grains: int) -> None:
        self._ends_ms: list[int] = []  # of the grains in which something is used, oldest first
        self._units: list[int] = []  # how much is used in each
        self._taken = 0  # and what is in flight
        self.reform(limit, grains=grains)

    def reform(self, limit: Limit, *, grains: int) -> None:
        """Go on under another limit; what is used stays used."""
        self._count = limit.count
        self._window_ms = limit.window_ms
        self._grain_ms = max(1, limit.window_ms // grains)

    def taken(self, now_ms: int) -> int:
        """Return how much is used, or in flight."""
        ends_ms = self._ends_ms
        if ends_ms and ends_ms[0] + self._window_ms <= now_ms:
            gone = bisect_right(ends_ms, now_ms - self._window_ms)
            self._taken -= sum(self._units[:gone])
            del ends_ms[:gone], self._units[:gone]
        return self._taken

    def taken_at(self, at_ms: int) -> int:
        """Return how much of what is used now will still count at a later time."""
        return self._taken - sum(self._units[: bisect_right(self._ends_ms, at_ms - self._window_ms)])

    def free_at_ms(self, now_ms: int, cost: int) -> int | None:
        """Return when so much is free: ``now_ms`` or later, None if it never will be by itself."""
        missing = self.taken(now_ms) + cost - self._count
        if missing <= 0:
            return now_ms
        for end_ms, units in zip(self._ends_ms, self._units, strict=True):
            missing -= units
            if missing <= 0:
                return end_ms + self._window_ms
        return None

    def take(self, cost: int) -> None:
        """Use so much, until ``settle`` says at what time."""
        self._taken += cost

    def settle(self, counted_at_ms: int | None, cost: int) -> None:
        """Say when what was taken was used at the latest; None gives it back."""
        self._taken -= cost
        if counted_at_ms is not None:
            self.spend(counted_at_ms, cost)

    def spend(self, at_ms: int, cost: int) -> None:
        """Use so much at a time; the time may lie ahead."""
        if cost <= 0:
            return
        end_ms = self._end_ms(at_ms)
        place = bisect_left(self._ends_ms, end_ms)
        if self._ends_ms[place : place + 1] == [end_ms]:
            self._units[place] += cost
        else:
            self._ends_ms.insert(place, end_ms)
            self._units.insert(place, cost)
        self._taken += cost

    def move(self, from_ms: int, to_ms: int, cost: int, used: int) -> None:
        """Put a use to an earlier time, at which it turned out to be another; one that counts no more stays away."""
        end_ms = self._end_ms(from_ms)
        place = bisect_left(self._ends_ms, end_ms)
        if self._ends_ms[place : place + 1] != [end_ms] or self._units[place] < cost:
            return
        self._units[place] -= cost
        self._taken -= cost
        if not self._units[place]:
            del self._ends_ms[place], self._units[place]
        self.spend(to_ms, used)

    def clear(self, until_ms: int) -> None:
        """Forget what was used until a time."""
        self.taken(self._end_ms(until_ms) + self._window_ms)

    def _end_ms(self, at_ms: int) -> int:
        return (at_ms // self._grain_ms + 1) * self._grain_ms
