"""Encrypts bot tokens and webhook secrets with a key derived from ``SECRET_KEY``."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tempogram.engine.model.errors import SettingsError

NONCE_BYTES = 12
"""As AES-GCM requires: https://csrc.nist.gov/pubs/sp/800/38/d/final"""

SECRET_KEY_CHARACTERS_MIN = 16
"""A shorter key could be found by trial from a copy of the database: it is not stretched."""


class Seal:
    """Encrypts texts so that only the same ``SECRET_KEY`` decrypts them, for the same bot.

    The bot's id is authenticated with the text, so an encrypted token cannot be moved to another bot's row.

    >>> seal = Seal("a key that no trial finds")
    >>> seal.open(seal.seal("42:secret", bot_id=42), bot_id=42)
    '42:secret'
    """

    def __init__(self, secret_key: str) -> None:
        if len(secret_key) < SECRET_KEY_CHARACTERS_MIN:
            raise SettingsError(
                f"SECRET_KEY has {len(secret_key)} characters; it needs at least {SECRET_KEY_CHARACTERS_MIN}"
            )
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tempogram tokens at rest")
        self._cipher = AESGCM(derived.derive(secret_key.encode()))

    def __repr__(self) -> str:
        return "Seal(…)"

    def seal(self, text: str, *, bot_id: int) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), _owner(bot_id))

    def open(self, sealed: bytes, *, bot_id: int) -> str:
        """Return the text.

        Raises:
            SettingsError: It was encrypted with another key, or changed since.
        """
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, _owner(bot_id)).decode()
        except InvalidTag:
            raise SettingsError(
                f"SECRET_KEY is not the one with which the secrets of bot {bot_id} were encrypted; "
                "set that one again, or remove the bot and add it with its token"
            ) from None


def secret_key(given: str | None, *, path: Path, name: str = "SECRET_KEY") -> str:
    """Return the given key, else the one in the file, which is created if it is missing.

    Raises:
        SettingsError: The file cannot be read or written.
    """
    if given:
        return given
    try:
        return _read(path) or _create(path)
    except OSError as error:
        raise SettingsError(f"{name} is not set, and its file {path} cannot be used: {error.strerror}") from error


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _create(path: Path) -> str:
    """Write a new key to a file of its own and link it into place: of two concurrent starts, one key remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    with suppress(FileExistsError):
        path.hardlink_to(own)
    own.unlink()
    return _read(path)


def _owner(bot_id: int) -> bytes:
    return str(bot_id).encode()
