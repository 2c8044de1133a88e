"""The project's files, as the tests of this folder see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import ROOT

FOLDERS = ("api", "bot", "engine", "simulator", "storage")
"""The folders that ``tempogram/`` links to."""


def packaged_files() -> set[str]:
    """Return every file of the package as a path in it, such as ``tempogram/bot/__init__.py``."""
    own = {f"tempogram/{path.name}" for path in (ROOT / "tempogram").iterdir() if path.is_file()}
    return own | {f"tempogram/{path.relative_to(ROOT)}" for folder in FOLDERS for path in files_below(ROOT / folder)}


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def modules() -> list[Path]:
    """Return every Python file of the package, without links and without the steps of Alembic."""
    return [
        path
        for folder in FOLDERS
        for path in files_below(ROOT / folder)
        if path.suffix == ".py" and "versions" not in path.parts
    ]


def tracked_files(*patterns: str) -> list[Path]:
    """Return the files that Git tracks and that exist."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
