"""Each script keeps to its header: what it says of its keys and arguments is what it unpacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tempogram.engine.brokers.redis import keys
from tempogram.engine.brokers.redis.constants import CONSTANTS
from tempogram.engine.brokers.redis.scripts import ARITHMETIC, FOLDER, LIFECYCLE, SHARED, uses

VERBS = sorted([*FOLDER.glob("*.lua"), *LIFECYCLE.glob("*.lua")])
SHARED_FILES = sorted([*SHARED.glob("*.lua"), *ARITHMETIC.glob("*.lua")])
ALL = [*VERBS, *SHARED_FILES]
ROOT = FOLDER.parents[3]

PLAIN_NUMBERS = {
    *range(9),  # places in a row, sizes of a double
    20,  # digits of a bot's id in a sorted set
    100,  # of percent
    1_000,  # microseconds of a millisecond, milliseconds of a second
}
"""What may stand in Lua as a number; any other means something, and Python hands it over."""


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


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_script_names_the_shared_files_whose_names_it_uses(path: Path) -> None:
    code = without_words(path.read_text(encoding="utf-8"))
    owners = {name: each.stem for each in SHARED_FILES if each != path for name in handed_on(each)}

    names = set(re.findall(r"(?<![\w.:])\w+\b(?! = )", code)) - declared(code)

    assert {owners[name] for name in names & set(owners)} == set(uses(path.read_text(encoding="utf-8")))


def test_every_shared_file_is_used() -> None:
    used = {name for path in ALL for name in uses(path.read_text(encoding="utf-8"))}

    assert used == {path.stem for path in SHARED_FILES}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_script_names_its_twin_in_python(path: Path) -> None:
    twin = re.search(r"^-- TWIN  (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if twin is None:
        assert path in VERBS, "a verb may have its twin in broker.py alone"
        return

    files = re.findall(r"engine/[\w/]+\.py", twin[1])
    assert files or twin[1].startswith("none: ")
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_number_that_means_something_stands_in_python_and_not_in_lua(path: Path) -> None:
    code = without_words(path.read_text(encoding="utf-8"))

    numbers = {int(number) for number in re.findall(r"(?<![\w.])\d+", code)}

    assert numbers <= PLAIN_NUMBERS
    assert set(re.findall(r"\bconstants\.(\w+)", code)) <= set(CONSTANTS)


def test_every_constant_that_scripts_are_given_is_used() -> None:
    used = {name for path in ALL for name in re.findall(r"\bconstants\.(\w+)", path.read_text(encoding="utf-8"))}

    assert used == set(CONSTANTS)


def without_words(script: str) -> str:
    """Return the code of a script without its comments and strings."""
    return re.sub(r"--.*", "", re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', script))


def handed_on(path: Path) -> list[str]:
    """Return the names of a shared file that scripts after it see."""
    code = without_words(path.read_text(encoding="utf-8"))
    head = code.split("= (function()")[0] if "= (function()" in code else code
    names = re.findall(r"^local\s+((?:\w+,\s*)*\w+)", head, re.MULTILINE)
    return [name for group in names for name in re.findall(r"\w+", group) if name != "function"]


def declared(code: str) -> set[str]:
    """Return the names that a script declares for itself."""
    names = re.findall(r"\blocal (?:function )?((?:\w+, )*\w+)", code)
    parameters = re.findall(r"\bfunction [\w.]*\(([\w, ]*)\)", code)
    return {name for group in (*names, *parameters) for name in group.split(", ")}


def test_a_script_makes_the_keys_of_the_table_and_no_others() -> None:
    made = set(re.findall(r"^function key\.(\w+)\(", (SHARED / "keys.lua").read_text(encoding="utf-8"), re.MULTILINE))
    table = set(re.findall(r"^    \{q\d*\}:(\w+)", keys.__doc__ or "", re.MULTILINE))

    assert table == {"state", "news", "results", *made}  # the last two no script touches


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_script_looks_for_keys_or_writes_more_than_a_line_holds(path: Path) -> None:
    script = path.read_text(encoding="utf-8")

    assert not re.search(r'"(KEYS|SCAN|FLUSHALL|FLUSHDB|RANDOMKEY)"', script)
    assert max(len(line) for line in script.splitlines()) <= 120
