"""How the sources lie: reading orders, import cycles, sizes of folders, import contracts."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests import ROOT
from tests.project.imports import cycles, import_graph
from tests.project.sources import FOLDERS, files_below, modules

FILES_MAX = 20
"""In one folder, but that of the migrations, in which each release adds to what stays."""

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

PACKAGES = [path for path in modules() if path.name == "__init__.py"]


def test_no_files_import_one_another_in_a_circle() -> None:
    assert cycles(import_graph()) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_each_module_stands_in_its_folders_reading_order(package: Path) -> None:
    inside = {path.parent.name for path in package.parent.glob("*/__init__.py")}
    inside |= {path.stem for path in package.parent.glob("*.py")} - {"__init__", "__main__"}
    if package.parent.name == "migrations":
        inside -= {"env"}  # Alembic's

    assert sorted(inside - reading_order(package)) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_each_reading_order_names_only_what_is_there(package: Path) -> None:
    there = {path.stem for path in package.parent.iterdir()}

    assert sorted(reading_order(package) - there) == []


def reading_order(package: Path) -> set[str]:
    """Return the names in the first column of a package's docstring, which begins a line and ends with two spaces."""
    docstring = ast.get_docstring(ast.parse(package.read_text())) or ""
    return {
        name
        for column in re.findall(r"^ *([a-z_]+/?(?:, [a-z_]+/?)*)(?:  +\S)", docstring, re.MULTILINE)
        for name in column.replace("/", "").split(", ")
    }


def test_no_folder_has_too_many_files() -> None:
    counts = Counter(path.parent for folder in FOLDERS for path in files_below(ROOT / folder))
    del counts[ROOT / "storage/migrations/versions"]

    assert {str(folder): count for folder, count in counts.items() if count > FILES_MAX} == {}


def test_each_part_of_the_engine_is_in_the_order_of_its_imports() -> None:
    (order,) = (contract for contract in CONTRACTS if contract.get("containers") == ["tempogram.engine"])

    assert {part for layer in order["layers"] for part in re.findall(r"[a-z]+", layer)} == parts_of(ROOT / "engine")


def test_each_part_of_the_engine_but_its_adapters_is_kept_from_redis() -> None:
    (kept,) = (contract for contract in CONTRACTS if contract["name"] == "Only the adapters in engine/ know Redis")
    named = {name.removeprefix("tempogram.engine.") for name in kept["source_modules"]}

    within = {"brokers.memory", "cache.cache", "services.calling", "services.limiter", "services.services"}
    assert named == parts_of(ROOT / "engine") - {"brokers", "cache", "channels", "services"} | within


def test_each_folder_of_the_package_is_in_a_contract() -> None:
    (floors,) = (contract for contract in CONTRACTS if "containers" not in contract and contract["type"] == "layers")
    (simulator,) = (contract for contract in CONTRACTS if contract.get("source_modules") == ["tempogram.simulator"])

    assert {f"tempogram.{folder}" for folder in FOLDERS} == {*floors["layers"], *simulator["source_modules"]}
    assert sorted(simulator["forbidden_modules"]) == sorted(floors["layers"])


def parts_of(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - {
        "__init__"
    }


def test_imports_without_the_prefix_are_refused(tmp_path: Path) -> None:
    statements = [f"import {folder}.x" for folder in FOLDERS] + [f"from {folder} import x" for folder in FOLDERS]

    run = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache"),
            *("--select", "TID251", "--output-format", "json", "--stdin-filename", "engine/x.py", "-"),
        ],
        input="\n".join(statements),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert [error["location"]["row"] for error in json.loads(run.stdout)] == list(range(1, len(statements) + 1))
