from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

from bench.watches.plot import APART, lines

AGES = {"spread": [12.0, 14.0, 12.0], "viewed": [200.0, 190.0, 195.0], "by user": [11.0, 13.0, 12.1], "all": [3.0] * 3}


def test_each_line_has_its_name_beside_its_end_and_no_name_covers_another() -> None:
    drawn = ET.fromstring(lines("Age & more", "hours", AGES, points_a_day=3))  # noqa: S314 - our own

    names = [(each.text, float(each.get("y", "0"))) for each in drawn.iter() if each.text in AGES]
    ys = sorted(y for _, y in names)
    assert {name for name, _ in names} == AGES.keys()
    assert all(below - above >= APART - 0.1 for above, below in pairwise(ys))


def test_every_point_is_within_the_frame() -> None:
    drawn = lines("Age", "hours", AGES, points_a_day=3)

    ys = [float(y) for points in re.findall(r'points="([^"]+)"', drawn) for y in re.findall(r",([\d.]+)", points)]
    assert all(60 <= y <= 380 for y in ys)
