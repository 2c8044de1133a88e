from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.keys import Seal, secret_key


def test_a_given_key_is_used_and_no_file_is_created(tmp_path: Path) -> None:
    assert secret_key("given", path=tmp_path / "key") == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_key_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "key"

    made = secret_key(None, path=path)

    assert secret_key(None, path=path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^SECRET_KEY is not set, and its file {tmp_path} cannot be used"):
        secret_key(None, path=tmp_path)


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY has 6 characters"):
        Seal("secret")


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff\xfe" * 20])
def test_a_key_file_that_holds_no_key_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret_key"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=rf"^the file {path} of SECRET_KEY is damaged: it should hold at least 16"):
        secret_key(None, path=path)

    assert path.read_bytes() == content


def test_an_encrypted_token_is_not_decrypted_for_another_bot() -> None:
    seal = Seal("the key of these tests only")

    assert seal.open(seal.seal("42:token", bot_id=42), bot_id=43) is None


def test_the_same_token_is_encrypted_differently_each_time() -> None:
    seal = Seal("the key of these tests only")

    assert seal.seal("42:token", bot_id=42) != seal.seal("42:token", bot_id=42)
