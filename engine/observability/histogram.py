"""Counts values by the lowest bound that they do not exceed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts values by the lowest bound that they do not exceed."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def sum(self) -> float:
        return self._sum

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound with the number of values not above it, as Prometheus expects them.

        >>> histogram = Histogram((0.1, 1.0))
        >>> histogram.observe(0.1)
        >>> histogram.observe(7)
        >>> histogram.buckets
        [('0.1', 1), ('1.0', 1), ('+Inf', 2)]
        """
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))
