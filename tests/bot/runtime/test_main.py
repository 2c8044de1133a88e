"""The commands in the first lines of a start."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.main import simulated, started_as
from tempogram.bot.wiring.services import declared_services
from tempogram.simulator.client import RunningSimulator

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


def test_a_simulated_telegram_changes_nothing_in_which_services_there_are(tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text("[pay.operations]\ncharge = {count = 5}\n")
    simulator = cast("RunningSimulator", SimpleNamespace(url="http://127.0.0.1:9"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = simulated(Settings(data_dir=tmp_path), simulator, listener)

    assert "pay" in declared_services(settings)
