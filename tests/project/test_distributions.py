"""Every way of installing gives the same package: ``tempogram``, with all its folders."""

from __future__ import annotations

import os
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from tests import ROOT
from tests.project.conftest import Distributions
from tests.project.installs import OFFLINE, libraries, pip, python, succeeded
from tests.project.sources import files_below, packaged_files

IN_SDIST_ONLY = {".gitignore", "CHANGELOG.md", "PKG-INFO", "README.md", "constraints.txt", "pyproject.toml"}


def packaged(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_repositorys_package_has_its_scripts_and_its_migrations() -> None:
    assert {
        "tempogram/__main__.py",
        "tempogram/engine/brokers/redis/lua/shared/keys.lua",
        "tempogram/engine/limits/lua/windows.lua",
        "tempogram/storage/migrations/versions/0001_baseline.py",
        "tempogram/simulator/pytest_plugin.py",
        "tempogram/api/app.py",
        "tempogram/bot/commands/cli.py",
    } <= packaged_files()


def test_the_wheel_made_from_the_sdist_holds_the_whole_package_and_nothing_else(distributions: Distributions) -> None:
    assert packaged(distributions.wheel) == packaged_files()


def test_the_wheel_made_from_the_repository_is_the_same(distributions: Distributions, tmp_path: Path) -> None:
    pip("wheel", *OFFLINE, "--wheel-dir", str(tmp_path), str(ROOT), cwd=tmp_path)

    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == distributions.wheel.name
    assert packaged(wheel) == packaged_files()


def test_the_sdist_holds_the_package_and_what_builds_it(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if not member.isdir()}

    assert names == packaged_files() | IN_SDIST_ONLY


def test_an_install_of_the_sdist_holds_the_whole_package(distributions: Distributions, tmp_path: Path) -> None:
    pip("install", *OFFLINE, "--target", str(tmp_path), str(distributions.sdist), cwd=tmp_path)

    assert {str(path.relative_to(tmp_path)) for path in files_below(tmp_path / "tempogram")} == packaged_files()


def test_an_editable_install_reads_the_package_from_the_repository(installed_editable: Path, tmp_path: Path) -> None:
    show = (
        "import site, sys, pathlib; site.addsitedir(sys.argv[1]); import tempogram;"
        "print(tempogram.__file__);"
        "root = pathlib.Path(tempogram.__file__).parent;"
        "print(*sorted(str(p.relative_to(root.parent)) for n in root.iterdir() for p in [n, *n.rglob('*')]"
        " if p.is_file() and '__pycache__' not in p.parts), sep='\\n')"
    )
    path = f"{installed_editable}{os.pathsep}{libraries()}"
    run = python("-S", "-c", show, str(installed_editable), cwd=tmp_path, PYTHONPATH=path)
    where, *files = succeeded(run).split("\n")
    assert where == str(ROOT / "tempogram" / "__init__.py")
    assert set(files) - {""} == packaged_files()


def test_an_editable_install_makes_nothing_else_importable(installed_editable: Path, tmp_path: Path) -> None:
    find = (
        "import site, sys; from importlib.util import find_spec; site.addsitedir(sys.argv[1]);"
        "print(*(name for name in sys.argv[2:] if find_spec(name)))"
    )
    path = f"{installed_editable}{os.pathsep}{libraries()}"
    names = ("api", "bot", "engine", "simulator", "storage", "tests", "tempogram")

    run = python("-S", "-c", find, str(installed_editable), *names, cwd=tmp_path, PYTHONPATH=path)

    assert succeeded(run).split() == ["tempogram"]


def test_the_metadata_names_the_command_the_plugin_and_the_readme(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_bytes(archive.read(f"{folder}/METADATA"))
        entry_points = archive.read(f"{folder}/entry_points.txt").decode().split()

    assert (metadata["Name"], metadata["Requires-Python"]) == ("tempogram", ">=3.11")
    assert metadata["Summary"] == "Runs many Telegram bots from one place, and never sends faster than Telegram allows."
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "tempogram.bot.commands.entry:main" in entry_points
    assert "tempogram.simulator.pytest_plugin" in entry_points
