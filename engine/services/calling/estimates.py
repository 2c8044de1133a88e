"""How much more than expected calls of one operation cost at the most: learned from what they turned out to cost."""

from __future__ import annotations

WORST_OF = 16
"""The worst of so many calls is expected of the next. untuned: of more, one that was far off counts for longer."""

FACTOR_MAX = 4.0
"""Costs above are a surprise each time. untuned: a single answer that was far longer must not stop all other calls."""


class Estimates:
    """One for each operation, in each process.

    Calls that are under way at the same time may each cost more than expected. What they may cost is taken, and what
    they did not cost is given back with the answer.

    >>> estimates = Estimates()
    >>> estimates.learn(100, 150)
    >>> estimates.most(200), estimates.most(0)
    (300, 0)
    """

    __slots__ = ("_calls", "_factor", "_factor_of_last")

    def __init__(self) -> None:
        self._factor = 1.0
        self._factor_of_last = 1.0  # of the last ``_calls``
        self._calls = 0

    def most(self, cost: int) -> int:
        """Return what a call may cost of which so much is expected."""
        return int(-(-cost * self._factor // 1))

    def learn(self, cost: int, used: int) -> None:
        """Note what a call turned out to cost."""
        factor = min(FACTOR_MAX, max(1.0, used / cost)) if cost else 1.0
        self._factor = max(self._factor, factor)
        self._factor_of_last = max(self._factor_of_last, factor)
        self._calls += 1
        if self._calls == WORST_OF:
            self._factor, self._factor_of_last, self._calls = self._factor_of_last, 1.0, 0
