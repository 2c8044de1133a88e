"""The commands in the first lines of a start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tempogram.bot.runtime.main import started_as

MODULE = "/src/tempogram/__main__.py"
BESIDE_PYTHON = str(Path(sys.executable).with_name("tempogram"))


@pytest.mark.parametrize(
    ("path", "on_path", "typed"),
    [
        ("/usr/bin/tempogram", "/usr/bin/tempogram", "tempogram"),
        (".venv/bin/tempogram", None, ".venv/bin/tempogram"),
        ("/my shop/bin/tempogram", "/usr/bin/tempogram", "'/my shop/bin/tempogram'"),
        (MODULE, BESIDE_PYTHON, "tempogram"),
        (MODULE, None, f"{sys.executable} -m tempogram"),
        (MODULE, "/another/bin/tempogram", f"{sys.executable} -m tempogram"),
    ],
)
def test_the_command_in_the_first_lines_is_one_that_the_shell_finds(path: str, on_path: str | None, typed: str) -> None:
    assert started_as(path, on_path) == typed
