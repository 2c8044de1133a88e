"""A program that runs here, and one of a user's own with its Dispatcher and an environment without our settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tempogram.bot.config.settings import Settings
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import served_in_thread
from tests.bot.embedding.own_program import OwnProgram
from tests.bot.embedding.started import Engine, started

NO_LIMITS = SimulatorSettings(private_limit=0, group_limit=0, bot_limit=0)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no setting come from anywhere; the current folder has no ``.env``."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def telegram_url() -> Iterator[str]:
    with served_in_thread(NO_LIMITS) as remote:
        yield remote.url


@pytest.fixture
async def own(clean_environment: None, tmp_path: Path) -> AsyncIterator[OwnProgram]:
    """The program; its Telegram has no limits, its group has the usual one of Tempogram."""
    with served_in_thread(NO_LIMITS) as telegram:
        program = OwnProgram(telegram, tmp_path / "data")
        yield program
        await program.bot.session.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with started(tmp_path) as engine:
        yield engine
