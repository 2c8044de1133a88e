"""What arrived at a strict server of the calls of one burst, and what of it broke a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

LIMITLESS = "all"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Calls in the order in which they arrived.

    Attributes:
        numbers: In which order they were made; each call names its own as ``x-client``.
        at_ms: When each had arrived completely.
        most_at_once: Calls from arrival to answer.
    """

    numbers: Sequence[int]
    at_ms: Sequence[float]
    most_at_once: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """Take them from a report of the server."""
        answered = sorted((at_ms, int(client)) for client, at_ms, _ in report["answered"])
        most = report["limits"][LIMITLESS]["most_under_way"]
        return cls([number for _, number in answered], [at_ms for at_ms, _ in answered], most)

    def above(self, count: int, window_ms: float) -> int:
        """Count the calls that came when a window was full, wherever the window begins.

        >>> Arrivals([0, 1, 2, 3], [0.0, 100.0, 900.0, 1000.0], 1).above(2, 1_000)
        2
        """
        pairs = zip(self.at_ms, self.at_ms[count:], strict=False)
        return sum(later - first < window_ms for first, later in pairs)

    def too_near(self, apart_ms: float) -> int:
        """Count the calls that came too soon after the one before."""
        return sum(later - first < apart_ms for first, later in pairwise(self.at_ms))

    def overtaken(self) -> int:
        """Count the calls that arrived after one that was made later.

        >>> Arrivals([0, 2, 1, 3], [0.0, 1.0, 2.0, 3.0], 1).overtaken()
        1
        """
        latest, count = -1, 0
        for number in self.numbers:
            count += number < latest
            latest = max(latest, number)
        return count


def takes_all(answer_ms: float) -> dict[str, Any]:
    """Return the rules of a server that counts, and refuses nothing."""
    return {"rules": [{"name": LIMITLESS, "prefix": "/"}], "manner": {"hold_ms": (answer_ms, answer_ms)}}
