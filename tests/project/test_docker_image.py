"""The Dockerfile's steps in an empty folder: no Docker daemon is needed, and none of them can drift unnoticed."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from tempogram.bot.config.process_roles import ProcessRole
from tests import ROOT
from tests.project.installs import OFFLINE, pip, python, succeeded
from tests.project.sources import files_below, packaged_files

DEPLOY = (ROOT / "docs" / "deploy.md").read_text()


@dataclass(frozen=True, slots=True)
class Steps:
    """What the first stage of the Dockerfile copies, and which arguments it gives to pip."""

    copies: list[tuple[list[str], str]]
    pip: list[str]


def steps() -> Steps:
    build, _, _ = (ROOT / "Dockerfile").read_text().partition("\nFROM python:3.12-slim\n")
    copies = [line.split() for line in re.findall(r"^COPY (.+)$", build, re.MULTILINE)]
    (run,) = re.findall(r"^RUN (.+)$", build, re.MULTILINE)
    command = shlex.split(run)
    return Steps([(sources, target) for *sources, target in copies], command[command.index("pip") + 1 :])


def copy(sources: list[str], target: str, directory: Path) -> None:
    """Do what COPY does: the contents of a folder, a file into a folder, and links as links."""
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, directory / target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / source, directory / target)


def test_its_steps_install_the_whole_package(tmp_path: Path) -> None:
    source, image = tmp_path / "src", tmp_path / "installed"
    source.mkdir()

    for sources, target in steps().copies:
        copy(sources, target, source)
    arguments = [str(image) if argument == "/installed" else argument for argument in steps().pip]
    pip(*arguments, *OFFLINE, "--ignore-installed", "--no-warn-script-location", cwd=source)

    (package,) = image.glob("lib/*/site-packages/tempogram")
    assert {str(path.relative_to(package.parent)) for path in files_below(package)} == packaged_files()
    shown = python(str(image / "bin" / "tempogram"), "--help", cwd=tmp_path, PYTHONPATH=str(package.parent))
    assert "scheduler" in succeeded(shown)


def test_nothing_that_is_copied_is_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()

    assert {source for sources, _ in steps().copies for source in sources}.isdisjoint(ignored)


def test_the_five_lines_for_own_code_make_an_image_that_finds_it(tmp_path: Path) -> None:
    """As in ``docs/deploy.md``; what a stage FROM would have is this environment."""
    (lines,) = re.findall(r"^```dockerfile\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    words = [shlex.split(line) for line in lines.splitlines()]
    context, home = tmp_path / "context", tmp_path / "home"
    context.mkdir()
    home.mkdir()
    (context / "requirements.txt").write_text("pyyaml\n")  # installed already: no network is needed
    (context / "shop.py").write_text("import yaml\nfrom aiogram import Router\n\nrouter = Router()\n")

    environment = {"PYTHONPATH": str(ROOT)}
    for instruction, *rest in words:
        if instruction == "COPY":
            shutil.copy(context / rest[0], home)
        elif instruction == "RUN":
            of_venv = [word for word in rest if word != "--user"]  # which a virtual environment refuses
            succeeded(python("-m", *of_venv, *OFFLINE[:3], cwd=home, **environment))
        elif instruction == "ENV":
            name, _, value = rest[0].partition("=")
            environment[name] = value
    check = "from tempogram.bot.commands.doctor.checks import read_settings; print(read_settings()[1][0].said)"
    found = succeeded(python("-c", check, cwd=home, **environment))

    assert [instruction for instruction, *_ in words] == ["FROM", "COPY", "RUN", "COPY", "ENV"]
    assert words[0] == ["FROM", "tempogram"]
    assert found.strip() == "readable"


def test_own_modules_are_mounted_where_the_image_looks_for_them() -> None:
    (override,) = re.findall(r"^```yaml\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    (home,) = re.findall(r"^WORKDIR (/home/.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    services = yaml.safe_load(override)["services"]

    mounted = {volume.split(":")[1] for service in services.values() for volume in service["volumes"]}

    assert mounted == {f"{home}/shop.py"}
    handling = {role.command for role in ProcessRole if role.handles_updates and role is not ProcessRole.RUN}
    assert services.keys() == handling


def test_its_base_is_a_python_that_the_package_allows() -> None:
    stages = re.findall(r"^FROM python:(\d+)\.(\d+)-slim", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert len(set(stages)) == 1
    assert [(int(major), int(minor)) >= (3, 11) for major, minor in stages] == [True, True]
