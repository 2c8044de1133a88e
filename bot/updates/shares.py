"""Shares a number of places out by bot, so that a busy bot always leaves some to the others."""

from __future__ import annotations

from collections import Counter

TIMES_FREE = 3
"""A bot holds at most so many times what it leaves free: three quarters of all, if it is the only busy one."""

KEPT_PART = 8
"""One of so many places is kept for bots that hold none."""


class Shares:
    """Which bot holds how many of ``size`` places.

    - A bot that holds none takes any place that is free.
    - Another takes one if afterwards it holds at most ``TIMES_FREE`` times as many as are free, and ``kept`` are free.
    - What is urgent needs only the latter: callback queries get through though their bot has its share, because what
      it runs may wait for one of them.

    - What went on without a place is *beyond*: no other bot has one less for it, and its own starts less.

    So a bot that holds none waits for a place only while at least ``kept`` others hold one.

    >>> shares = Shares(200)
    >>> for bot_id in (1, 2, 3):
    ...     while shares.may_take(bot_id):
    ...         shares.take(bot_id)
    >>> [shares.held(bot_id) for bot_id in (1, 2, 3)], shares.free
    ([150, 25, 1], 24)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = size
        self.kept = size // KEPT_PART
        self._held: Counter[int] = Counter()
        self._beyond: Counter[int] = Counter()

    @property
    def taken(self) -> int:
        return self.size - self.free

    def held(self, bot_id: int) -> int:
        """Return how many places a bot holds, those beyond included."""
        return self._held[bot_id]

    def may_take(self, bot_id: int, *, is_urgent: bool = False) -> bool:
        held, left = self._held[bot_id], self.free - 1
        if held == 0 or left < 0:
            return left >= 0
        return left >= self.kept and (is_urgent or held + 1 <= TIMES_FREE * (left - self._beyond[bot_id]))

    def take(self, bot_id: int) -> None:
        """Take a place, also one that there is not: what a start takes over is not refused."""
        self.free -= 1
        self._held[bot_id] += 1

    def give_back(self, bot_id: int) -> None:
        self.free += 1
        self._let_go(bot_id)

    def go_beyond(self, bot_id: int) -> None:
        """Let a bot hold one more, which none of the places is."""
        self._held[bot_id] += 1
        self._beyond[bot_id] += 1

    def come_back(self, bot_id: int) -> None:
        """Undo ``go_beyond``."""
        self._beyond[bot_id] -= 1
        if not self._beyond[bot_id]:
            del self._beyond[bot_id]
        self._let_go(bot_id)

    def _let_go(self, bot_id: int) -> None:
        self._held[bot_id] -= 1
        if not self._held[bot_id]:
            del self._held[bot_id]
