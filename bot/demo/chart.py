"""Draws numbers over time as small bars, for any terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BARS = " ▁▂▃▄▅▆▇█"
GAP = "·"


@dataclass(frozen=True, slots=True)
class Sample:
    """How much waited at one moment; ``waiting`` is None while the engine was down."""

    at_ms: float
    waiting: dict[str, int] | None


def bars(values: Sequence[int | None], *, top: int) -> str:
    """Draw one column for each value; more than ``top`` is drawn as ``top``, None as a gap.

    A value above zero shows at least the lowest bar.

    >>> bars([0, 1, 15, 30, 99, None], top=30)
    ' ▁▄██·'
    """
    return "".join(GAP if value is None else BARS[_height(value, top)] for value in values)


def _height(value: int, top: int) -> int:
    if value <= 0 or top <= 0:
        return 0
    return max(1, min(value, top) * (len(BARS) - 1) // top)


def meter(share: float, *, width: int) -> str:
    """Draw a share of a whole.

    >>> meter(0.5, width=6), meter(2, width=2)
    ('███   ', '██')
    """
    filled = round(max(0.0, min(share, 1.0)) * width)
    return "█" * filled + " " * (width - filled)


def by_second(times_ms: Iterable[float], *, start_ms: float, seconds: int) -> list[int]:
    """Count the times in each second from ``start_ms`` on; times outside are left out.

    >>> by_second([1_000, 1_999, 2_000, 9_000], start_ms=1_000, seconds=3)
    [2, 1, 0]
    """
    counts = [0] * seconds
    for time_ms in times_ms:
        second = int((time_ms - start_ms) // 1_000)
        if 0 <= second < seconds:
            counts[second] += 1
    return counts


def waiting_by_second(samples: Iterable[Sample], name: str, *, start_ms: float, seconds: int) -> list[int | None]:
    """Return the last sample of ``name`` in each second; None where there is none.

    >>> samples = [Sample(0, {"low": 9}), Sample(900, {"low": 7}), Sample(1_500, None), Sample(2_100, {"low": 1})]
    >>> waiting_by_second(samples, "low", start_ms=0, seconds=3)
    [7, None, 1]
    """
    last: list[int | None] = [None] * seconds
    for sample in samples:
        second = int((sample.at_ms - start_ms) // 1_000)
        if 0 <= second < seconds and sample.waiting is not None:
            last[second] = sample.waiting[name]
    return last


def axis(marks: dict[int, str], *, width: int) -> str:
    """Write labels under a chart, each in its column; one that would overlap the label before moves right.

    >>> axis({0: "start", 8: "kill -9", 10: "back"}, width=12)
    'start   kill -9 back'
    """
    line = ""
    for column, word in sorted(marks.items()):
        line = (line + " " if line else "").ljust(column) + word
    return line.ljust(width)
