"""A data directory that cannot be used is named in one sentence, and what is made in it is its owner's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from tempogram.bot.config.data_dir import is_new_key_due, read_admin_token, seal, simulator_noted, stored_seal
from tempogram.bot.config.settings import load
from tempogram.engine.model.errors import SettingsError


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "data").touch()

    with pytest.raises(SettingsError, match=rf"^DATA_DIR is '{path}', which is a file; set it to a directory$"):
        read_admin_token(load(data_dir=path))


def test_a_data_directory_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # modes do not bind root

    with pytest.raises(SettingsError, match=r"which cannot be used \(Permission denied\); set it to a directory that"):
        read_admin_token(load(data_dir=tmp_path, admin_token=SecretStr("given-by-a-setting")))


def test_where_only_the_former_key_is_it_is_read_and_no_new_one_made(tmp_path: Path) -> None:
    """A look with ``tempogram keys`` made the new one, which only a start may do."""
    settings = load(data_dir=tmp_path, secret_key="")
    (tmp_path / "former_secret_key").write_text("the key that was used before")

    looked = stored_seal(settings)
    is_due, names = is_new_key_due(settings), [path.name for path in tmp_path.iterdir()]
    seal(settings)

    assert looked is not None
    assert (looked.has_two, is_due, names) == (False, True, ["former_secret_key"])
    assert not is_new_key_due(settings)


def test_what_is_made_in_it_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    settings, before = load(data_dir=tmp_path / "data", admin_token="", secret_key=""), os.umask(0)
    try:
        assert stored_seal(settings) is None
        read_admin_token(settings)
        seal(settings)
        with simulator_noted(settings.data_dir, "http://127.0.0.1:1"):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in settings.data_dir.iterdir()}
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["admin_token", "secret_key", "simulator"], 0o600)
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
