"""What a strict service counts: its own windows, spacing, calls at once and tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")

KEPT = 1_000_000
"""The newest of everything that is listed: a service that runs for days keeps no more."""

ROUNDING_MS = 1e-3
"""Times are floats: two that are a window apart may differ from it by less than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit, for every path that begins with ``prefix``.

    Attributes:
        count: Calls, or tokens, in any ``window_ms``; 0: any number.
        unit: ``calls`` or ``tokens``. The call that crosses a limit of tokens is still served; the next is not.
        is_fixed: The window begins at multiples of its length, and all is there again at its end; else it slides.
        apart_ms: Between two arrivals.
        concurrency: Calls from arrival to answer; 0: any number.
    """

    name: str
    prefix: str
    count: int = 0
    window_ms: float = 0
    unit: str = "calls"
    is_fixed: bool = False
    apart_ms: float = 0
    concurrency: int = 0


def newest() -> deque[T]:
    """Return an empty list that keeps the newest entries."""
    return deque(maxlen=KEPT)


@dataclass(slots=True)
class Counted:
    """What one rule has seen.

    Attributes:
        uses: When each use was counted, and its units; refused ones are not counted.
        arrivals: Of all calls, refused ones too, by the clock of the server.
        refused: When, by which client, and why.
        most_under_way: The one too many included.
        spans: Each call's arrival and answer.
    """

    rule: Rule
    uses: deque[tuple[float, int]] = field(default_factory=deque)
    taken: int = 0
    arrivals: deque[float] = field(default_factory=newest)
    units: deque[tuple[float, int]] = field(default_factory=newest)
    refused: deque[dict[str, Any]] = field(default_factory=newest)
    under_way: int = 0
    most_under_way: int = 0
    most_taken: int = 0
    spans: deque[tuple[float, float]] = field(default_factory=newest)

    def arrive(self, at_ms: float, client: str) -> bool:
        """Note that a request has arrived completely; False: it is one too many, or too early."""
        gap_ms = at_ms - self.arrivals[-1] if self.arrivals else float("inf")
        self.arrivals.append(at_ms)
        self.most_under_way = max(self.most_under_way, self.under_way + 1)
        if self.rule.apart_ms and gap_ms < self.rule.apart_ms - ROUNDING_MS:
            return self._refuse(at_ms, client, f"{gap_ms:.2f} ms after the one before")
        if self.rule.concurrency and self.under_way >= self.rule.concurrency:
            return self._refuse(at_ms, client, f"{self.under_way + 1} at once")
        return True

    def begin(self) -> None:
        self.under_way += 1

    def end(self, from_ms: float, to_ms: float) -> None:
        self.under_way -= 1
        self.spans.append((from_ms, to_ms))

    def has_room(self, at_ms: float, client: str) -> bool:
        """Tell whether a call may be counted; False: its window is full."""
        if not self.rule.count or self.taken_at(at_ms) < self.rule.count:
            return True
        return self._refuse(at_ms, client, f"{self.taken} of {self.rule.count} are used")

    def use(self, at_ms: float, tokens: int) -> None:
        units = tokens if self.rule.unit == "tokens" else 1
        self.units.append((at_ms, units))
        if not self.rule.count:
            return
        self.uses.append((at_ms, units))
        self.taken += units
        self.most_taken = max(self.most_taken, self.taken)

    def taken_at(self, at_ms: float) -> int:
        """Return how much of the window is used."""
        from_ms = self._window_from_ms(at_ms)
        while self.uses and self.uses[0][0] <= from_ms:
            self.taken -= self.uses.popleft()[1]
        return self.taken

    def back_at_ms(self, at_ms: float) -> float:
        """Return when more of the window will be free than now."""
        if self.rule.is_fixed:
            return (at_ms // self.rule.window_ms + 1) * self.rule.window_ms
        return self.uses[0][0] + self.rule.window_ms if self.uses else at_ms

    def report(self) -> dict[str, Any]:
        """Return everything that is needed to judge, as JSON has it."""
        arrivals = list(self.arrivals)
        return {
            "rule": asdict(self.rule),
            "arrivals": arrivals,
            "units": list(self.units),
            "refused": list(self.refused),
            "most_under_way": self.most_under_way,
            "most_taken": self.most_taken,
            "most_in_window": most_in_window(arrivals, self.rule.window_ms),
            "least_apart_ms": least_apart_ms(arrivals),
            "spans": list(self.spans),
        }

    def _window_from_ms(self, at_ms: float) -> float:
        if self.rule.is_fixed:
            return at_ms // self.rule.window_ms * self.rule.window_ms - ROUNDING_MS
        return at_ms - self.rule.window_ms + ROUNDING_MS

    def _refuse(self, at_ms: float, client: str, why: str) -> bool:
        self.refused.append({"at_ms": at_ms, "client": client, "why": why})
        return False


def most_in_window(at_ms: Sequence[float], window_ms: float) -> int:
    """Return how many are in the fullest window, wherever it begins.

    >>> most_in_window([0, 10, 1_000, 1_009], 1_000)
    3
    """
    if not window_ms:
        return 0
    return max((bisect_right(at_ms, each + window_ms - ROUNDING_MS) - n for n, each in enumerate(at_ms)), default=0)


def least_apart_ms(at_ms: Iterable[float]) -> float | None:
    """Return the shortest time between two; None if there are no two."""
    return min((after - before for before, after in pairwise(at_ms)), default=None)
