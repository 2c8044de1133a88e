"""The token that a command finds without being given one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tempogram.bot.commands.client import client
from tempogram.bot.config.settings import Settings
from tempogram.engine.model.errors import SettingsError

OWN, SIMULATED, RUNNING = "admin_token", "simulated/admin_token", "simulated/simulator"


@pytest.mark.parametrize(
    ("files", "bot_tokens", "found"),
    [
        ([SIMULATED], "", SIMULATED),
        ([OWN], "", OWN),
        ([OWN, SIMULATED], "", OWN),
        ([OWN, SIMULATED, RUNNING], "", SIMULATED),
        ([OWN, SIMULATED, RUNNING], "42:abcdefghij", OWN),
    ],
    ids=["simulated bots", "bots of the database", "both once", "simulated bots that run", "BOT_TOKENS"],
)
def test_a_command_finds_the_token_of_the_program_that_runs(
    tmp_path: Path, files: Iterable[str], bot_tokens: str, found: str
) -> None:
    (tmp_path / "simulated").mkdir()
    for name in files:
        (tmp_path / name).write_text(f"{name}\n")
    settings = Settings(_env_file=None, data_dir=tmp_path, bot_tokens=bot_tokens)

    assert client(None, settings)._headers == {"Authorization": f"Bearer {found}"}


def test_a_file_of_the_token_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / OWN).write_bytes(b"\xff")

    with pytest.raises(SettingsError, match=f"{OWN} cannot be read"):
        client(None, Settings(_env_file=None, data_dir=tmp_path))
