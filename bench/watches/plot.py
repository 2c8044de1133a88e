"""Draws lines over days as an SVG file: there is no library for it among the pinned ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 50, 50
COLOURS = ("#1f77b4", "#7fb2d9", "#2ca02c", "#d62728", "#9467bd", "#ff7f0e", "#8c564b")
DASHES = ("", "6 4", "", "", "", "", "2 3")


def lines(title: str, unit: str, of: Mapping[str, Sequence[float]], *, points_a_day: int) -> str:
    """Return an SVG with one line for each name, on a logarithmic scale."""
    most = max(max(each) for each in of.values())
    ticks = [each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000) if each <= most * 2]
    top = ticks[-1]
    days = max(len(each) for each in of.values()) / points_a_day
    parts = [*_frame(title, unit), *_grid(ticks, top, days)]
    for number, (name, values) in enumerate(of.items()):
        parts += _line(number, name, values, top, days * points_a_day)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, *parts, "</svg>", ""])


def _frame(title: str, unit: str) -> list[str]:
    return [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
        f'<text x="{LEFT}" y="42" font-size="12" fill="#555">{escape(unit)}</text>',
    ]


def _grid(ticks: Sequence[float], top: float, days: float) -> list[str]:
    right = WIDTH - RIGHT
    parts: list[str] = []
    for tick in ticks:
        y = _y(tick, top)
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" font-size="12" text-anchor="end">{tick:g}</text>',
        ]
    for day in range(round(days) + 1):
        x = LEFT + (right - LEFT) * day / days
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" font-size="12" text-anchor="middle">day {day}</text>'
        )
    return parts


def _line(number: int, name: str, values: Sequence[float], top: float, points: float) -> list[str]:
    width = WIDTH - RIGHT - LEFT
    drawn = " ".join(f"{LEFT + width * at / points:.1f},{_y(value, top):.1f}" for at, value in enumerate(values, 1))
    colour, dash, y = COLOURS[number], DASHES[number], TOP + 14 + 22 * number
    style = f'stroke="{colour}" stroke-width="2" fill="none"' + (f' stroke-dasharray="{dash}"' if dash else "")
    at = WIDTH - RIGHT + 16
    return [
        f'<polyline points="{drawn}" {style}/>',
        f'<line x1="{at}" y1="{y}" x2="{at + 24}" y2="{y}" {style}/>',
        f'<text x="{at + 30}" y="{y + 4}" font-size="12">{escape(name)}</text>',
    ]


def _y(value: float, top: float) -> float:
    """Return where a value stands on a logarithmic scale from 1."""
    from math import log

    share = log(max(1.0, value)) / log(top)
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
