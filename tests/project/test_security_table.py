"""docs/security.md has a row for each requirement, and each test that it names exists."""

from __future__ import annotations

import re
from itertools import chain

from tests import ROOT

PAGE = ROOT / "docs/security.md"

LAST = {
    "3.2": 2,
    "3.3": 4,
    "3.4": 6,
    "3.5": 5,
    "3.7": 2,
    "5.1": 1,
    "5.2": 3,
    "5.3": 2,
    "5.4": 3,
    "6.1": 3,
    "6.2": 12,
    "6.3": 4,
    "6.4": 4,
    "6.5": 5,
    "6.6": 3,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "8.1": 2,
    "8.2": 3,
    "8.3": 1,
    "8.4": 1,
    "9.1": 3,
    "9.2": 4,
}
"""The last requirement of levels 1 and 2 in each section; those of level 3 come after them.
Source: https://github.com/OWASP/ASVS/tree/v5.0.0/5.0/en"""

SPAN = re.compile(r"(\d\.\d)\.(\d+) to \d\.\d\.(\d+)")
NUMBER = re.compile(r"\d\.\d\.\d+")


def rows() -> list[list[str]]:
    lines = PAGE.read_text().split("OWASP ASVS 5.0, levels 1 and 2")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]


def numbers_of(cell: str) -> list[str]:
    """Return the requirements that a row is about; "6.8.1 to 6.8.4" are four."""
    if span := SPAN.match(cell):
        return [f"{span[1]}.{number}" for number in range(int(span[2]), int(span[3]) + 1)]
    return NUMBER.findall(cell)


def test_each_requirement_of_levels_1_and_2_has_one_row() -> None:
    listed = sorted(chain.from_iterable(numbers_of(row[0]) for row in rows()))

    wanted = sorted(f"{section}.{number}" for section, last in LAST.items() for number in range(1, last + 1))
    assert listed == wanted


def test_each_row_names_a_test_that_there_is_or_says_why_not() -> None:
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }

    for row in rows():
        named = set(re.findall(r"`(test_\w+)`", row[3]))
        assert named <= tests, (row[0], named - tests)
        assert named or "reason:" in row[2] or "**Not met**" in row[2], row[0]
