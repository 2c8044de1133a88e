"""The decisions and the glossary speak of files and names that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.project.sources import modules

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FOLDER = r"(?:api|bench|bot|docs|engine|simulator|storage|tempogram|tests)/"

by_name = pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)


@by_name
def test_a_decision_names_files_that_exist(decision: Path) -> None:
    named = re.findall(rf"`({FOLDER}[a-z0-9_./-]*)`", decision.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


@by_name
def test_a_decision_says_what_carries_it(decision: Path) -> None:
    text = decision.read_text()

    assert re.fullmatch(r"# \d{4} .+", text.partition("\n")[0])
    assert [part for part in ("## Context", "## Decision", "## Consequences") if part not in text] == []
    assert re.search(rf"^Carried by `{FOLDER}", text, re.MULTILINE)


@by_name
def test_the_names_that_a_decision_gives_for_a_file_stand_in_it(decision: Path) -> None:
    """Such as ``windows.py`` (``Window``, ``Bucket``)."""
    pairs = re.findall(rf"`({FOLDER}[a-z0-9_/]+\.(?:py|lua))` \(((?:`[A-Za-z_.]+`(?:, )?)+)\)", decision.read_text())
    named = [(file, name) for file, names in pairs for name in re.findall(r"[A-Za-z_]+", names)]

    assert [(file, name) for file, name in named if name not in (ROOT / file).read_text()] == []


@by_name
def test_the_classes_that_a_decision_names_exist(decision: Path) -> None:
    assert unknown_classes(decision.read_text()) == []


def test_the_classes_that_the_glossary_names_exist() -> None:
    assert unknown_classes((ROOT / "docs" / "glossary.md").read_text()) == []


def unknown_classes(text: str) -> list[str]:
    sources = "\n".join(path.read_text() for path in modules())
    named = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)(?:\.[a-z_]+)?`", text)
    return [name for name in named if not re.search(rf"\b{name}\b", sources)]


def test_decisions_are_numbered_one_by_one_and_none_twice() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]

    assert numbers == list(range(1, len(DECISIONS) + 1))
