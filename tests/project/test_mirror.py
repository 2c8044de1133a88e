"""The tests mirror the sources; the rule stands in ``tests/__init__.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ROOT
from tests.project.sources import FOLDERS

TESTS = ROOT / "tests"

OF_THE_WHOLE = {"bench", "chaos", "end_to_end", "examples", "fuzz", "project", "tour"}
"""Folders whose tests belong to no single module."""


def misplaced(test: Path, sources: Path) -> bool:
    """Tell whether a test, such as ``engine/sending/test_worker.py``, is named after nothing that lies there."""
    folder = sources / test.parent
    if not folder.is_dir():
        return True
    names = {path.stem for path in folder.iterdir() if not path.name.startswith("_")} | {folder.name}
    subject = test.stem.removeprefix("test_")
    return not any(subject == name or subject.startswith(f"{name}_") for name in names)


def test_each_test_is_named_after_a_module_or_its_room() -> None:
    tests = [path.relative_to(TESTS) for folder in FOLDERS for path in (TESTS / folder).rglob("test_*.py")]

    assert sorted(str(test) for test in tests if misplaced(test, ROOT)) == []


def test_each_folder_of_tests_mirrors_one_of_the_sources_or_tests_the_whole() -> None:
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}

    assert folders - OF_THE_WHOLE == set(FOLDERS)
    assert {path.stem for path in TESTS.glob("test_*.py")} <= {f"test_{path.stem}" for path in TESTS.glob("*.py")}


@pytest.mark.parametrize(
    ("test", "is_misplaced"),
    [
        ("engine/sending/test_worker.py", False),
        ("engine/sending/test_worker_shutdown.py", False),
        ("engine/sending/test_sending_ledger_away.py", False),
        ("engine/test_dispatcher.py", False),
        ("engine/test_worker.py", True),
        ("engine/sending/test_workers.py", True),
        ("engine/nowhere/test_worker.py", True),
    ],
)
def test_a_misplaced_test_is_noticed(tmp_path: Path, test: str, *, is_misplaced: bool) -> None:
    (tmp_path / "engine" / "sending").mkdir(parents=True)
    (tmp_path / "engine" / "sending" / "worker.py").touch()
    (tmp_path / "engine" / "dispatcher.py").touch()

    assert misplaced(Path(test), tmp_path) == is_misplaced
