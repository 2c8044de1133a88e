"""Git on Windows outside WSL checks links out as small text files, unless it is configured otherwise."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import ROOT
from tests.project.installs import python, succeeded
from tests.project.sources import FOLDERS, tracked_files


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of what is in this working tree, made as Git makes it where there are no symbolic links."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    source.mkdir()
    for path in tracked_files("tempogram", *FOLDERS):
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path.readlink()) if path.is_symlink() else copy.write_bytes(path.read_bytes())
    for folder in FOLDERS:
        (source / "tempogram" / folder).symlink_to(Path("..") / folder)
    git("init", "--quiet", cwd=source)
    git("add", ".", cwd=source)
    git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "-m", "x", cwd=source)
    git("clone", "--quiet", "-c", "core.symlinks=false", str(source), str(clone), cwd=tmp_path)
    return clone


def git(*arguments: str, cwd: Path) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.mark.parametrize("start", [("-m", "tempogram", "--help"), ("-c", "import tempogram")])
def test_a_clone_without_links_says_so_and_its_way_out_works(clone: Path, start: tuple[str, ...]) -> None:
    assert (clone / "tempogram" / "bot").is_file()

    refused = python(*start, cwd=clone)
    *_, sentence = refused.stderr.strip().splitlines()
    ways_out = re.findall(r"`(git .*?)`", sentence)

    assert refused.returncode == 1
    assert sentence.startswith("ImportError: tempogram/api is a text file where a link to ../api should be")
    assert len(ways_out) == 2
    for command in ways_out:
        git(*shlex.split(command)[1:], cwd=clone)
    assert (clone / "tempogram" / "bot").is_symlink()
    succeeded(python(*start, cwd=clone))
