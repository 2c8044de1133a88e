"""Which keys a start has, and when it makes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.config.settings import Settings, load
from tempogram.bot.wiring.storage import open_storage
from tempogram.engine.model.errors import SettingsError
from tests.fakes import Clock

NEW, FORMER = "secret_key", "former_secret_key"


def settings(folder: Path) -> Settings:
    return load(data_dir=folder, secret_key="", bot_tokens=())


async def started(folder: Path) -> None:
    async with open_storage(settings(folder), Clock()) as storage:
        await storage.check_key()


async def test_a_start_makes_the_new_key_where_the_former_one_was_moved(tmp_path: Path) -> None:
    await started(tmp_path)
    (tmp_path / NEW).rename(tmp_path / FORMER)

    await started(tmp_path)

    assert (tmp_path / NEW).read_text() != (tmp_path / FORMER).read_text()


async def test_a_start_makes_both_a_database_and_a_new_key_beside_a_former_one(tmp_path: Path) -> None:
    (tmp_path / FORMER).write_text("the key that was used before")

    await started(tmp_path)

    assert (tmp_path / NEW).exists()


async def test_no_third_key_is_made_where_the_new_one_is_missing(tmp_path: Path) -> None:
    await started(tmp_path)
    (tmp_path / NEW).unlink()
    (tmp_path / FORMER).write_text("the key that was used before")

    with pytest.raises(SettingsError, match=r"its file .*secret_key is missing, though the database has another key"):
        await started(tmp_path)

    assert not (tmp_path / NEW).exists()
