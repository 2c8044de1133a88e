"""Files that other users of the machine may read or change are named, and not changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tempogram.bot.config import file_modes
from tempogram.bot.config.file_modes import open_to_others, report_data_dir
from tempogram.bot.config.settings import Settings, load


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory as a start makes it, with its files, in a directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)
    (data := tmp_path / "data").mkdir(0o700)
    for name in ("secret_key", "admin_token", "tempogram.db", "tempogram.db-wal", "tempogram.db-shm"):
        (data / name).touch(0o600)
    return data


@pytest.fixture
def settings(data: Path) -> Settings:
    return load(data_dir=data, database_url="")


def test_files_as_a_start_makes_them_are_fine(settings: Settings, data: Path) -> None:
    assert open_to_others(settings) == []
    data.chmod(0o755)
    assert open_to_others(settings) == []


@pytest.mark.parametrize("name", ["secret_key", "admin_token", "tempogram.db", "tempogram.db-wal"])
def test_a_file_that_others_may_read_is_named_unless_they_may_not_enter_its_directory(
    settings: Settings, data: Path, name: str
) -> None:
    (data / name).chmod(0o640)
    assert open_to_others(settings) == []

    data.chmod(0o750)

    assert open_to_others(settings) == [data / name]


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_directory_that_others_may_write_to_is_named(settings: Settings, data: Path, mode: int) -> None:
    data.chmod(mode)

    assert open_to_others(settings) == [data]


def test_a_directory_of_another_user_is_named(settings: Settings, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: data.stat().st_uid + 1_000)

    assert open_to_others(settings) == [data]


def test_a_database_elsewhere_is_looked_at_too(data: Path, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (path := elsewhere / "my.db").touch()
    elsewhere.chmod(0o755)
    path.chmod(0o644)

    assert open_to_others(load(data_dir=data, database_url=f"sqlite:///{path}")) == [path]
    assert open_to_others(load(data_dir=data, database_url="postgresql://me@127.0.0.1:9/none")) == []


def test_a_start_says_which_files_are_open_and_that_the_disk_is_nearly_full(
    settings: Settings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.chmod(0o777)
    (data / "secret_key").chmod(0o644)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=file_modes.FREE_BYTES_MIN - 1))

    with capture_logs() as logs:
        report_data_dir(settings)

    assert [(each["event"], each.get("way_out")) for each in logs] == [
        ("files_open_to_others", f"chmod go-rwx {data} {data / 'secret_key'}"),
        ("disk_nearly_full", None),
    ]
    assert (data.stat().st_mode & 0o777, (data / "secret_key").stat().st_mode & 0o777) == (0o777, 0o644)
