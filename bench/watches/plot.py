"""Draws lines over days as an SVG file: there is no library for it among the pinned ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 60, 40
APART = 16
"""Pixels between two names at the least."""

COLOURS = ("#1f77b4", "#17a2b8", "#2ca02c", "#d62728", "#9467bd", "#ff7f0e", "#8c564b")
STYLES = ((2, ""), (2, "2 3"), (5, ""), (2, ""), (2, ""), (2, "10 6"), (2, ""))
"""Width and dashes: of lines that cover each other both are seen."""

TICKS_H = {
    1: "1 h",
    2: "2 h",
    5: "5 h",
    10: "10 h",
    24: "1 day",
    48: "2 days",
    96: "4 days",
    192: "8 days",
    384: "16 days",
}


def lines(title: str, unit: str, of: Mapping[str, Sequence[float]], *, points_a_day: int) -> str:
    """Return an SVG with a line of hours for each name, on a logarithmic scale, and its name at its end."""
    least, most = min(map(min, of.values())), max(map(max, of.values()))
    scale = _Scale(
        max([1, *(each for each in TICKS_H if each <= least)]), min(each for each in TICKS_H if each >= most)
    )
    points = max(map(len, of.values()))
    parts = [*_frame(title, unit), *_grid(scale, points / points_a_day)]
    ends = _apart({name: scale.y(values[-1]) for name, values in of.items()})
    for number, (name, values) in enumerate(of.items()):
        parts += _line(number, name, [scale.y(value) for value in values], points, ends[name])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, *parts, "</svg>", ""])


class _Scale:
    def __init__(self, least: float, most: float) -> None:
        self.ticks = [each for each in TICKS_H if least <= each <= most]
        self._least, self._most = least, most

    def y(self, value: float) -> float:
        share = log(max(self._least, value) / self._least) / log(self._most / self._least)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _frame(title: str, unit: str) -> list[str]:
    return [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
        f'<text x="{LEFT}" y="43" font-size="12" fill="#555">{escape(unit)}</text>',
    ]


def _grid(scale: _Scale, days: float) -> list[str]:
    right = WIDTH - RIGHT
    parts: list[str] = []
    for tick in scale.ticks:
        y = scale.y(tick)
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end">{TICKS_H[tick]}</text>',
        ]
    width = (right - LEFT) / days
    for day in range(round(days)):
        x = LEFT + width * (day + 0.5)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" font-size="12" text-anchor="middle">day {day + 1}</text>'
        )
    return parts


def _line(number: int, name: str, ys: Sequence[float], points: int, end_y: float) -> list[str]:
    right = WIDTH - RIGHT
    step = (right - LEFT) / max(1, points - 1)
    drawn = " ".join(f"{LEFT + step * at:.1f},{y:.1f}" for at, y in enumerate(ys))
    colour, (width, dashes) = COLOURS[number], STYLES[number]
    style = f'stroke="{colour}" stroke-width="{width}" fill="none"' + (
        f' stroke-dasharray="{dashes}"' if dashes else ""
    )
    return [
        f'<polyline points="{drawn}" {style}/>',
        f'<polyline points="{right + 4},{ys[-1]:.1f} {right + 18},{end_y:.1f} {right + 40},{end_y:.1f}" {style}/>',
        f'<text x="{right + 46}" y="{end_y + 4:.1f}" font-size="12" fill="{colour}">{escape(name)}</text>',
    ]


def _apart(ends: Mapping[str, float]) -> dict[str, float]:
    """Return where each name stands: at the end of its line, or beside it where names would cover each other.

    >>> _apart({"a": 50.0, "b": 52.0, "c": 200.0})
    {'a': 43.0, 'b': 59.0, 'c': 200.0}
    """
    groups: list[list[str]] = []
    for name in sorted(ends, key=lambda name: ends[name]):
        groups.append([name])
        while len(groups) > 1 and _placed(groups[-1], ends)[0] - _placed(groups[-2], ends)[-1] < APART:
            groups[-2:] = [groups[-2] + groups[-1]]
    places = {name: y for group in groups for name, y in zip(group, _placed(group, ends), strict=True)}
    return {name: places[name] for name in ends}


def _placed(group: Sequence[str], ends: Mapping[str, float]) -> list[float]:
    """Return the places of names that stand together, around the middle of their lines' ends."""
    first = sum(ends[name] for name in group) / len(group) - APART * (len(group) - 1) / 2
    return [first + APART * number for number in range(len(group))]
