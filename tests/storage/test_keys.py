from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.keys import Seal, secret_key


def test_a_key_that_is_given_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    assert secret_key("given", path=tmp_path / "key") == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_not_given_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "key"

    made = secret_key(None, path=path)

    assert secret_key(None, path=path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^SECRET_KEY is not set, and its file {tmp_path} cannot be used"):
        secret_key(None, path=tmp_path)


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY has 6 characters"):
        Seal("secret")


def test_a_sealed_token_does_not_open_for_another_bot() -> None:
    seal = Seal("the key of these tests only")

    with pytest.raises(SettingsError, match="bot 43"):
        seal.open(seal.seal("42:token", bot_id=42), bot_id=43)


def test_the_same_token_is_sealed_differently_each_time() -> None:
    seal = Seal("the key of these tests only")

    assert seal.seal("42:token", bot_id=42) != seal.seal("42:token", bot_id=42)
