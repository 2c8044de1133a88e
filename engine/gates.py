"""The state behind a limit: which places are taken, and when the next is free.

Both kinds answer the same three questions, with the time passed in. Times are
integer milliseconds; a place that Telegram counted in the middle of one is taken
from its end, so rounding never frees a place too early.
"""

from __future__ import annotations

from bisect import insort
from typing import Protocol

from engine.limits import Limit


class Gate(Protocol):
    """What one limit knows."""

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        """Return when ``cost`` places are free: ``now_ms`` or later, None until something is settled."""

    def take(self, now_ms: int, cost: int) -> None:
        """Take places at the lease. They stay taken until ``settle``."""

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        """Say when Telegram counted them at the latest; None gives them back at once."""

    def is_idle(self, now_ms: int) -> bool:
        """Tell whether nothing is taken, so that a new gate would answer the same."""

    def is_near(self, now_ms: int) -> bool:
        """Tell whether three quarters of it are taken: a 429 would not surprise us (the share is a guess)."""

    def absorb(self, other: Gate) -> None:
        """Take over the places of a gate that turned out to be this one under another name."""


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

    __slots__ = ("_counted", "_in_flight", "_limit")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._in_flight = 0
        self._counted: list[int] = []  # when each settled place began to count, oldest first

    def ready_at_ms(self, now_ms: int, cost: int) -> int | None:
        counted, limit = self._counted, self._limit
        while counted and counted[0] + limit.window_ms <= now_ms:
            del counted[0]
        missing = self._in_flight + len(counted) + min(cost, limit.count) - limit.count
        if missing <= 0:
            return now_ms
        return counted[missing - 1] + limit.window_ms if missing <= len(counted) else None

    def take(self, now_ms: int, cost: int) -> None:  # noqa: ARG002 - a bucket needs the time
        self._in_flight += min(cost, self._limit.count)

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        cost = min(cost, self._limit.count)
        self._in_flight = max(0, self._in_flight - cost)  # a limit may have come into force meanwhile
        if counted_at_ms is not None:
            for _ in range(cost):
                insort(self._counted, counted_at_ms + 1 + guard_ms)

    def is_idle(self, now_ms: int) -> bool:
        return not self._in_flight and (not self._counted or self._counted[-1] + self._limit.window_ms <= now_ms)

    def is_near(self, now_ms: int) -> bool:
        since_ms = now_ms - self._limit.window_ms
        taken = self._in_flight + sum(counted_ms > since_ms for counted_ms in self._counted)
        return 4 * taken > 3 * self._limit.count

    def absorb(self, other: Gate) -> None:
        if isinstance(other, Window):
            self._in_flight += other._in_flight  # noqa: SLF001 - the same class
            self._counted = sorted(self._counted + other._counted)  # noqa: SLF001


class Bucket:
    """A token bucket: ``burst`` at once, then ``count`` in each ``window_ms``.

    Kept as the time at which it is full again, in units of 1/count ms, so that a
    refill of 30 a second stays exact in integers.

    >>> bucket = Bucket(Limit(1, 1_000, burst=3))
    >>> for _ in range(3): bucket.take(0, 1)
    >>> bucket.ready_at_ms(0, 1)
    1000
    """

    __slots__ = ("_capacity", "_full_at", "_limit")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._capacity = limit.burst or limit.count
        self._full_at = 0

    def ready_at_ms(self, now_ms: int, cost: int) -> int:
        # What costs more than the bucket holds leaves when it is full, and puts it in debt.
        spare = self._capacity - min(cost, self._capacity)
        ready_at = self._full_at - spare * self._limit.window_ms
        return max(now_ms, -(-ready_at // self._limit.count))

    def take(self, now_ms: int, cost: int) -> None:
        self._full_at = max(self._full_at, now_ms * self._limit.count) + cost * self._limit.window_ms

    def settle(self, counted_at_ms: int | None, cost: int, *, guard_ms: int = 0) -> None:
        if counted_at_ms is None:
            self._full_at -= cost * self._limit.window_ms
            return
        counted_at = (counted_at_ms + 1 + guard_ms) * self._limit.count
        self._full_at = max(self._full_at, counted_at + cost * self._limit.window_ms)

    def is_idle(self, now_ms: int) -> bool:
        return self._full_at <= now_ms * self._limit.count

    def is_near(self, now_ms: int) -> bool:
        taken = self._full_at - now_ms * self._limit.count
        return 4 * taken > 3 * self._capacity * self._limit.window_ms

    def absorb(self, other: Gate) -> None:
        if isinstance(other, Bucket):
            theirs = -(-other._full_at * self._limit.count // other._limit.count)  # noqa: SLF001 - the same class
            self._full_at = max(self._full_at, theirs)


def gate(limit: Limit | None) -> Gate | None:
    """Return the fresh state of a limit, or None where there is none."""
    if limit is None or limit.count == 0:
        return None
    return Window(limit) if limit.burst is None else Bucket(limit)


def reform(old: Gate | None, limit: Limit | None) -> Gate | None:
    """Return a gate of a new limit in which what was taken stays taken."""
    new = gate(limit)
    if new is not None and old is not None:
        new.absorb(old)
    return new


def spacing(limit: Limit, saved_up: int) -> Bucket | None:
    """Return what keeps normal and low apart: one each window / count, at most ``saved_up`` at once."""
    if limit.count == 0:
        return None
    return Bucket(Limit(limit.count, limit.window_ms, burst=min(saved_up, limit.count)))
