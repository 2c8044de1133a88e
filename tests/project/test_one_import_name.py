"""The root on Python's path would give every module twice, with two sets of classes; the run notices that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.import_names import unprefixed

USES_A_SECOND_NAME = """
import sys
sys.path.insert(0, {root!r})

def test_it():
    import engine.model.clock
"""


def test_modules_without_the_prefix_are_found() -> None:
    names = ["tempogram.engine", "engine", "api.app", "bots", "tests.bot", "simulator"]

    assert unprefixed(names) == ["api.app", "engine", "simulator"]


@pytest.mark.parametrize("processes", [[], ["-n", "1"]], ids=["alone", "distributed"])
def test_a_run_that_imports_a_module_under_a_second_name_fails(tmp_path: Path, processes: list[str]) -> None:
    (tmp_path / "test_it.py").write_text(USES_A_SECOND_NAME.format(root=str(ROOT)))

    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.import_names", "-p", "no:cacheprovider", "-q"),
            *("-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "no:schemathesis", *processes, str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 passed" in run.stdout
    assert "imported without the prefix tempogram: engine, engine.model, engine.model.clock" in run.stdout
