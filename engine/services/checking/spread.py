"""Percentiles of many times, in a memory that does not grow with them."""

from __future__ import annotations

import math
from collections import Counter

STEP = 1.01
"""Each bucket is 1 % longer than the one before, so a percentile is at the most 1 % too high."""

LEAST_S = 1e-6


class Spread:
    """Counts times in buckets."""

    def __init__(self) -> None:
        self.count = 0
        self.most_s = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self.count += 1
        self.most_s = max(self.most_s, seconds)
        self._buckets[math.ceil(math.log2(max(seconds, LEAST_S)) / math.log2(STEP))] += 1

    def quantile_s(self, share: float) -> float:
        """Return the time that ``share`` of them do not exceed; 0 of none.

        >>> spread = Spread()
        >>> for ms in range(1, 101):
        ...     spread.add(ms / 1_000)
        >>> [round(spread.quantile_s(share), 3) for share in (0.5, 0.99, 1.0)]
        [0.05, 0.099, 0.1]
        """
        left = math.ceil(share * self.count)
        for bucket, count in sorted(self._buckets.items()):
            left -= count
            if left <= 0:
                return min(self.most_s, STEP**bucket)
        return self.most_s
