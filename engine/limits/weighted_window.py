"""A window of uses that weigh differently, and are known beforehand only roughly: tokens of a model, say."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tempogram.engine.limits.limits import Limit


class WeightedWindow:
    """At most ``count`` units in any ``window_ms``, of uses that weigh differently.

    Uses are kept in grains, each of which counts from its end: so many entries at most, however many uses.

    >>> window = WeightedWindow(Limit(100, 1_000), grains=1_000)
    >>> window.spend(0, 60); window.spend(10, 40)
    >>> window.free_at_ms(20, 50), window.free_at_ms(20, 70)
    (1001, 1011)
    >>> window.move(0, 5, 60, 20)
    >>> window.free_at_ms(20, 40), window.free_at_ms(20, 60)
    (20, 1006)
    """

    __slots__ = ("_count", "_frees_ms", "_grain_ms", "_taken", "_units", "_window_ms")

    def __init__(self, limit: Limit, *, grains: int) -> None:
        self._count = limit.count
        self._window_ms = limit.window_ms
        self._grain_ms = max(1, limit.window_ms // grains)
        self._frees_ms: list[int] = []  # when each grain is free again, the next first
        self._units: list[int] = []  # how much is used in it
        self._taken = 0

    def taken(self, now_ms: int) -> int:
        """Return how much is used."""
        if self._frees_ms and self._frees_ms[0] <= now_ms:
            gone = bisect_right(self._frees_ms, now_ms)
            self._taken -= sum(self._units[:gone])
            del self._frees_ms[:gone], self._units[:gone]
        return self._taken

    def free_at_ms(self, now_ms: int, cost: int) -> int:
        """Return when so much is free. What costs more than the limit waits until nothing is used."""
        missing = self.taken(now_ms) + min(cost, self._count) - self._count
        if missing <= 0:
            return now_ms
        for free_at_ms, units in zip(self._frees_ms, self._units, strict=True):
            missing -= units
            if missing <= 0:
                return free_at_ms
        return self._frees_ms[-1]

    def spend(self, at_ms: int, cost: int) -> None:
        """Use so much at a time; the time may lie ahead."""
        free_at_ms = self._free_again_ms(at_ms)
        place = bisect_left(self._frees_ms, free_at_ms)
        if self._frees_ms[place : place + 1] == [free_at_ms]:
            self._units[place] += cost
        else:
            self._frees_ms.insert(place, free_at_ms)
            self._units.insert(place, cost)
        self._taken += cost

    def move(self, from_ms: int, to_ms: int, cost: int, used: int) -> None:
        """Put a use to an earlier time, at which it turned out to be another; one that counts no more stays away."""
        free_at_ms = self._free_again_ms(from_ms)
        place = bisect_left(self._frees_ms, free_at_ms)
        if self._frees_ms[place : place + 1] == [free_at_ms]:
            self._units[place] -= cost
            self._taken -= cost
            if not self._units[place]:
                del self._frees_ms[place], self._units[place]
            self.spend(to_ms, used)

    def clear(self, until_ms: int) -> None:
        """Forget what was used until a time."""
        self.taken(self._free_again_ms(until_ms))

    def entries(self, now_ms: int) -> list[tuple[int, int]]:
        """Return the end of each grain in which something is used, and how much; oldest first."""
        self.taken(now_ms)
        return [
            (free_at_ms - self._window_ms, units) for free_at_ms, units in zip(self._frees_ms, self._units, strict=True)
        ]

    def _free_again_ms(self, at_ms: int) -> int:
        return (at_ms // self._grain_ms + 1) * self._grain_ms + self._window_ms
