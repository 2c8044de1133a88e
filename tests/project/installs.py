"""Builds and installs of the project, without a network: pip finds the backend in this environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``cwd`` with a clean environment, and return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False, timeout=120
    )


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def pip(*arguments: str, cwd: Path) -> str:
    return succeeded(python("-m", "pip", *arguments, cwd=cwd))


def libraries() -> str:
    """Return the folder of the installed libraries; with ``-S`` and as ``PYTHONPATH``, no hook in it runs."""
    return sysconfig.get_path("purelib")
