"""The project's distributions, built once for all tests of this folder that one process runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ROOT
from tests.project.installs import OFFLINE, pip, python, succeeded


@dataclass(frozen=True, slots=True)
class Distributions:
    """What ``python -m build`` makes: the source distribution, and the wheel from it."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    directory = tmp_path_factory.mktemp("dist")
    succeeded(python("-m", "build", "--no-isolation", "--outdir", str(directory), cwd=ROOT))
    return Distributions(next(directory.glob("*.tar.gz")), next(directory.glob("*.whl")))


@pytest.fixture(scope="session")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed; on ``PYTHONPATH`` it comes before the repository's editable install."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", *OFFLINE, "--target", str(target), str(distributions.wheel), cwd=target)
    return target


@pytest.fixture(scope="session")
def installed_editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an editable install, whose hook runs only if ``site.addsitedir`` is given that folder."""
    target = tmp_path_factory.mktemp("installed-editable")
    pip("install", *OFFLINE, "--target", str(target), "--editable", str(ROOT), cwd=target)
    return target
