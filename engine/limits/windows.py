"""The state behind a limit: which places are taken, and when the next is free.

All kinds answer the same questions, with the time passed in. Times are
integer milliseconds; a place that Telegram counted in the middle of one is taken
from its end, so rounding never frees a place too early.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import Protocol

from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.spacing import Spacing

NEAR_PERCENT = 75
"""How much of a limit is taken when a 429 surprises no more.

untuned: it decides only whether a 429 counts as a sign that Telegram counts otherwise than we do."""


class Gate(Protocol):
    """What one limit knows: a window, a window with a bucket besides it, or a bucket that leaks."""

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        """Return when ``cost`` places are free: ``now_ms`` or later, None until something is settled."""

    def take(self, now_ms: int, cost: int) -> None:
        """Take places at the lease. They stay taken until ``settle``."""

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        """Say when Telegram counted them at the latest; None gives them back at once."""

    def give_back(self, cost: int) -> None:
        """Give back places in flight of which nothing arrived at Telegram's end, though the call was made."""

    def fill(self, now_ms: int, cost: int) -> None:
        """Take places that Telegram counted by now, as many of them as there can be."""

    def is_idle(self, now_ms: int) -> bool:
        """Tell whether nothing is taken, so that a new gate would answer the same."""

    def is_near(self, now_ms: int) -> bool:
        """Tell whether more than ``NEAR_PERCENT`` of it are taken: a 429 would not surprise us."""

    def counted(self, now_ms: int) -> int | None:
        """Return how many places are settled and still taken; None where that is not known."""

    def earliest_ms(self, now_ms: int, costs: Sequence[int]) -> int:
        """Return when the last of so many may go one after another, if what is in flight counts from now."""

    def narrow(self, places: int, now_ms: int) -> None:
        """Let only so many of its places be taken; all of them again if it is as many as the limit has.

        Of a bucket this is the burst; its rate stays.
        """

    def absorb(self, other: Gate) -> None:
        """Take over the places of a gate that turned out to be this one under another name.

        What is settled is known only to a gate of the same kind. (Nothing is lost by it:
        what becomes another chat is a group, and groups have windows.)
        """


class Window:
    """At most ``count`` places in any ``window_ms``, counted at Telegram's end.

    >>> window = Window(Limit(2, 1_000))
    >>> window.take(0, 1); window.take(0, 1)
    >>> window.ready_at_ms(0, 1) is None
    True
    >>> window.settle(40, 1)
    >>> window.ready_at_ms(50, 1)
    1041
    """

    __slots__ = ("_count", "_frees_ms", "_in_flight", "_limit")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._count = limit.count  # or fewer, while it is narrow
        self._in_flight = 0
        self._frees_ms: list[int] = []  # when each settled place is free again, the next first

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        frees_ms, count = self._frees_ms, self._count
        if frees_ms and frees_ms[0] <= now_ms:
            del frees_ms[: bisect_right(frees_ms, now_ms)]
        taken = self._in_flight + len(frees_ms)
        missing = taken + cost - count if cost < count else taken
        if missing <= 0:
            return now_ms
        return frees_ms[missing - 1] if missing <= len(frees_ms) else None

    def take(self, now_ms: int, cost: int) -> None:  # noqa: ARG002 - only what is settled has a time
        self._in_flight += cost

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        self._in_flight -= cost if cost < self._in_flight else self._in_flight  # the limit may be new meanwhile
        if counted_at_ms is None:
            return
        frees_ms, free_at_ms = self._frees_ms, counted_at_ms + 1 + guard_ms + self._limit.window_ms
        for _ in range(cost if cost < self._limit.count else self._limit.count):
            if frees_ms and free_at_ms < frees_ms[-1]:
                insort(frees_ms, free_at_ms)
            else:
                frees_ms.append(free_at_ms)

    def give_back(self, cost: int) -> None:
        self.settle(None, cost)

    def fill(self, now_ms: int, cost: int) -> None:
        self.take(now_ms, cost)
        self.settle(now_ms, cost)

    def is_idle(self, now_ms: int) -> bool:
        return not self._in_flight and (not self._frees_ms or self._frees_ms[-1] <= now_ms)

    def is_near(self, now_ms: int) -> bool:
        taken = self._in_flight + sum(free_at_ms > now_ms for free_at_ms in self._frees_ms)
        return 100 * taken > NEAR_PERCENT * self._limit.count

    def counted(self, now_ms: int) -> int | None:
        return len(self._frees_ms) - bisect_right(self._frees_ms, now_ms)

    def earliest_ms(self, now_ms: int, costs: Sequence[int]) -> int:
        count, window_ms = self._count, self._limit.window_ms
        places = sum(min(cost, count) for cost in costs)
        rounds, rest = divmod(places - 1, count)  # each place comes a window after the one ``count`` before it
        frees_ms = [*self._frees_ms, *[now_ms + window_ms] * self._in_flight]
        missing = len(frees_ms) + rest + 1 - count
        first_ms = now_ms if missing <= 0 else max(now_ms, frees_ms[missing - 1])
        return first_ms + rounds * window_ms

    def narrow(self, places: int, now_ms: int) -> None:  # noqa: ARG002 - only a spacing needs the time
        self._count = places

    def absorb(self, other: Gate) -> None:
        if isinstance(other, Window | Bucket):
            self._in_flight += other._in_flight  # noqa: SLF001 - one of ours
        if isinstance(other, Window):
            longer_ms = self._limit.window_ms - other._limit.window_ms  # noqa: SLF001
            theirs_ms = [free_at_ms + longer_ms for free_at_ms in other._frees_ms]  # noqa: SLF001
            self._frees_ms = sorted(self._frees_ms + theirs_ms)


class PacedWindow(Window):
    """A window, and besides it a bucket: no window is broken, and at most ``burst`` leave at once.

    A place in the bucket is spent at the lease and refilled with time, whatever becomes of the
    call: only the window is Telegram's, so only that waits for what Telegram counted.

    >>> paced = PacedWindow(Limit(3, 900, burst=2))
    >>> for _ in range(2): paced.take(0, 1)
    >>> paced.ready_at_ms(0, 1)
    300
    """

    __slots__ = ("_bucket",)

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._bucket = Spacing(limit)

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        ready_at_ms = super().ready_at_ms(now_ms, cost)
        return None if ready_at_ms is None else max(ready_at_ms, self._bucket.free_at_ms(now_ms, cost))

    def take(self, now_ms: int, cost: int) -> None:
        super().take(now_ms, cost)
        self._bucket.spend(now_ms, cost)

    def give_back(self, cost: int) -> None:
        super().give_back(cost)
        self._bucket.unspend(cost)

    def fill(self, now_ms: int, cost: int) -> None:
        super().take(now_ms, cost)
        super().settle(now_ms, cost)
        self._bucket.fill(now_ms, cost)

    def is_idle(self, now_ms: int) -> bool:
        return super().is_idle(now_ms) and self._bucket.is_drained(now_ms)

    def earliest_ms(self, now_ms: int, costs: Sequence[int]) -> int:
        return max(super().earliest_ms(now_ms, costs), self._bucket.earliest_ms(now_ms, costs))

    def narrow(self, places: int, now_ms: int) -> None:
        super().narrow(places, now_ms)
        self._bucket.hold_at_most(places)

    def absorb(self, other: Gate) -> None:
        super().absorb(other)
        if isinstance(other, PacedWindow):
            self._bucket.go_on_from(other._bucket)  # noqa: SLF001 - one of ours


class Bucket(Spacing):
    """A token bucket: a place in flight is taken, and drains from the time at which Telegram counted it.

    >>> bucket = Bucket(Limit(1, 1_000, burst=3))
    >>> for _ in range(3): bucket.take(0, 1)
    >>> bucket.ready_at_ms(0, 1) is None
    True
    >>> bucket.settle(500, 1)
    >>> bucket.ready_at_ms(500, 1)
    1501
    """

    __slots__ = ("_in_flight",)

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self._in_flight = 0

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        capacity = self._capacity
        taken = self._in_flight + (cost if cost < capacity else capacity)
        return self.free_at_ms(now_ms, taken) if taken <= capacity else None

    def take(self, now_ms: int, cost: int) -> None:  # noqa: ARG002 - only what is settled has a time
        self._in_flight += cost

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        self._in_flight -= cost if cost < self._in_flight else self._in_flight  # the limit may be new meanwhile
        if counted_at_ms is not None:
            self.spend(counted_at_ms + 1 + guard_ms, cost)

    def give_back(self, cost: int) -> None:
        self.settle(None, cost)

    def fill(self, now_ms: int, cost: int) -> None:
        super().fill(now_ms + 1, cost)

    def is_idle(self, now_ms: int) -> bool:
        return not self._in_flight and self.is_drained(now_ms)

    def is_near(self, now_ms: int) -> bool:
        settled = max(0, self._drained_at - now_ms * self._limit.count)
        capacity = self._limit.burst or self._limit.count
        taken = settled + self._in_flight * self._limit.window_ms
        return 100 * taken > NEAR_PERCENT * capacity * self._limit.window_ms

    def counted(self, now_ms: int) -> int | None:  # noqa: ARG002 - what has drained is not counted any more
        return None

    def earliest_ms(self, now_ms: int, costs: Sequence[int]) -> int:
        costs = [min(cost, self._capacity) for cost in costs]
        return super().earliest_ms(now_ms, [self._in_flight, *costs] if self._in_flight else costs)

    def narrow(self, places: int, now_ms: int) -> None:  # noqa: ARG002 - only a spacing needs the time
        self.hold_at_most(places)

    def absorb(self, other: Gate) -> None:
        if isinstance(other, Window | Bucket):
            self._in_flight += other._in_flight  # noqa: SLF001 - one of ours
        if isinstance(other, Bucket):
            self.go_on_from(other)


def note(limited: Gate, counted_at_ms: int, cost: int, *, now_ms: int) -> None:
    """Take the places of a call of the past, or of several that a clock which was ahead has written for later.

    Those count as now, and however many they are, they fill a bucket at most.
    """
    if counted_at_ms <= now_ms:
        limited.take(counted_at_ms, cost)
        limited.settle(counted_at_ms, cost)
    else:
        limited.fill(now_ms, cost)


def gate(limit: Limit | None) -> Gate | None:
    """Return the fresh state of a limit, or None where there is none."""
    if limit is None or limit.count == 0:
        return None
    if limit.burst is None:
        return Window(limit)
    return PacedWindow(limit) if limit.has_window else Bucket(limit)


def reform(old: Gate | None, limit: Limit | None) -> Gate | None:
    """Return a gate of a new limit in which what was taken stays taken."""
    new = gate(limit)
    if new is not None and old is not None:
        new.absorb(old)
    return new


def both_free_at_ms(limited: Gate | None, apart: Spacing | None, cost: int, now_ms: int) -> int | None:
    """Return when both let so many through: ``now_ms`` or later, None until something is settled."""
    free_at_ms = now_ms if limited is None else limited.ready_at_ms(now_ms, cost)
    if free_at_ms is None or apart is None:
        return free_at_ms
    spaced_at_ms = apart.free_at_ms(now_ms, cost)
    return spaced_at_ms if spaced_at_ms > free_at_ms else free_at_ms


def narrow(limited: Gate | None, apart: Spacing | None, places: int, now_ms: int) -> None:
    """Let only so many places of a limit be taken, and spaced accordingly."""
    for each in (limited, apart):
        if each is not None:
            each.narrow(places, now_ms)
