"""Each script keeps to its header: what it says of its keys and arguments is what it unpacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tempogram.engine.brokers.redis import keys
from tempogram.engine.brokers.redis.scripts import BESIDE, FOLDER, SHARED

VERBS = sorted(FOLDER.glob("*.lua"))


def header(script: str) -> str:
    """Return the comment with which a script begins."""
    return script[: script.index("\nlocal ")]


def section(script: str, title: str) -> str:
    """Return what the header says under a title."""
    found = re.search(rf"^-- {title}\b(.*?)(?=^-- [A-Z]{{4,}}|\Z)", header(script), re.MULTILINE | re.DOTALL)
    assert found, f"no {title}"
    return found[1]


def unpacked(script: str, what: str) -> list[str]:
    """Return the names into which KEYS or ARGV are unpacked."""
    found = re.search(rf"^local ([\w, ]+) = unpack\({what}\)$", script, re.MULTILINE)
    assert found, f"{what} is not unpacked into names"
    return found[1].split(", ")


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_the_keys_of_a_header_are_those_that_are_unpacked(path: Path) -> None:
    script = path.read_text(encoding="utf-8")

    said = re.findall(r"^--   \d (\w+) ", section(script, "KEYS"), re.MULTILINE)

    assert [f"{name}_key" for name in said] == unpacked(script, "KEYS")
    assert "KEYS[" not in script


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_the_arguments_of_a_header_are_as_many_as_are_unpacked(path: Path) -> None:
    script = path.read_text(encoding="utf-8")

    said = re.findall(r"(?:^--   |  )(\d)(?:\.\.\.)? \w", section(script, "ARGV"), re.MULTILINE)
    rest = len(re.findall(r"\d\.\.\. ", section(script, "ARGV")))

    assert [int(number) for number in said] == list(range(1, len(said) + 1))
    assert len(said) - rest == len(unpacked(script, "ARGV"))


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_a_header_says_what_comes_back_and_what_it_costs(path: Path) -> None:
    script = path.read_text(encoding="utf-8")

    words = set(re.findall(r'\{"(\w+)"', section(script, "RETURNS"))) - {"queued", "replaced", "duplicate", "refused"}

    leases = "open(state_key, given_ms, " in script
    assert words == {"done", "gone", "barred"} if leases else {"done", "gone"}
    assert "O(" in section(script, "COST")


def test_every_shared_file_is_prepended() -> None:
    assert sorted({*SHARED, *BESIDE.values()}) == sorted(path.stem for path in (FOLDER / "shared").glob("*.lua"))


def test_a_script_makes_the_keys_of_the_table_and_no_others() -> None:
    made = set(re.findall(r"^function key\.(\w+)\(", (FOLDER / "shared" / "keys.lua").read_text(), re.MULTILINE))
    table = set(re.findall(r"^    \{q0?\}:(\w+)", keys.__doc__ or "", re.MULTILINE))

    assert table == {"state", "news", "results", *made}  # the last two no script touches


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.lua")), ids=lambda path: path.stem)
def test_no_script_looks_for_keys_or_writes_more_than_a_line_holds(path: Path) -> None:
    script = path.read_text(encoding="utf-8")

    assert not re.search(r'"(KEYS|SCAN|FLUSHALL|FLUSHDB|RANDOMKEY)"', script)
    assert max(len(line) for line in script.splitlines()) <= 120
