"""How many calls surely fell into one window, wherever it begins."""

from __future__ import annotations

import math
from heapq import heappop, heappush

NEAR_S = 0.001
"""Two calls that are nearer to a whole window apart are not judged: no two clocks agree."""


class FullestWindow:
    """Counts calls as they end.

    A call falls somewhere between its beginning and its end; where is not known. So it surely lies in a window only as
    a whole, and a limit that is found broken is broken. It keeps the beginnings of one window.
    """

    def __init__(self, window_s: float) -> None:
        self.most = 0
        self._length_s = window_s - min(NEAR_S, window_s / 100)
        self._began_s: list[float] = []

    def add(self, began_s: float, ended_s: float) -> None:
        """Note a call; none may be added that ended before one that was.

        >>> window = FullestWindow(1.0)
        >>> for began_s, ended_s in ((0.0, 0.1), (0.2, 0.9), (0.0, 1.05), (1.3, 1.3)):
        ...     window.add(began_s, ended_s)
        >>> window.most
        2
        """
        heappush(self._began_s, began_s)
        while self._began_s and self._began_s[0] <= ended_s - self._length_s:
            heappop(self._began_s)
        self.most = max(self.most, len(self._began_s))


def allowed(limit: int, window_s: float, duration_s: float) -> int:
    """Return how many calls a limit allows at the most in a time before which there were none.

    >>> allowed(1, 1.0, 5.0), allowed(20, 60.0, 5.0)
    (5, 20)
    """
    return limit * max(1, math.ceil((duration_s - NEAR_S) / window_s))
