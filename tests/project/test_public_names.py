"""What ``import tempogram`` costs and offers, and the ways to start the program."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tempogram
from tests import ROOT
from tests.project.installs import python, succeeded

NEW_MODULES = """
import sys
import importlib, os, typing
before = set(sys.modules)
import {name}
print(*sorted(set(sys.modules) - before))
"""
"""The second line names the standard modules that it may import; of all others each costs time at every start."""


@pytest.mark.parametrize(
    ("name", "imported"),
    [("tempogram", "tempogram"), ("tempogram.simulator", "tempogram tempogram.simulator")],
)
def test_importing_the_package_imports_nothing_but_itself(tmp_path: Path, name: str, imported: str) -> None:
    run = python("-S", "-c", NEW_MODULES.format(name=name), cwd=tmp_path, PYTHONPATH=str(ROOT))

    assert succeeded(run).strip() == imported


@pytest.mark.parametrize("name", tempogram.__all__)
def test_each_public_name_is_there_and_has_that_name(name: str) -> None:
    public = getattr(tempogram, name)
    assert getattr(public, "__name__", name) == name  # an object has none


def test_what_is_public_is_what_can_be_imported() -> None:
    assert sorted(tempogram.HOMES) == tempogram.__all__
    assert set(tempogram.__all__) <= set(dir(tempogram))
    with pytest.raises(AttributeError, match="module 'tempogram' has no attribute 'nonsense'"):
        _ = tempogram.nonsense


def test_a_type_checker_sees_the_same_names_as_python(tmp_path: Path) -> None:
    source = (ROOT / "tempogram" / "__init__.py").read_text()
    imports = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))

    named = {
        each.name: node.module
        for node in imports
        if (node.module or "").startswith("tempogram.")
        for each in node.names
    }
    assert named == {name: f"tempogram.{home}" for name, home in tempogram.HOMES.items()}


def test_the_package_is_the_command_line(tmp_path: Path) -> None:
    shown = succeeded(python("-m", "tempogram", "--help", cwd=tmp_path, PYTHONPATH=str(ROOT)))

    assert [
        name for name in ("run", "worker", "api", "scheduler", "migrate", "queue", "demo") if name not in shown
    ] == []


def test_the_simulator_starts_by_itself(tmp_path: Path) -> None:
    assert "--port" in succeeded(python("-m", "tempogram.simulator", "--help", cwd=tmp_path, PYTHONPATH=str(ROOT)))
