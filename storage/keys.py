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
from tempogram.storage.identity.secrets import Digests

NO_BOT = 0
"""For what is encrypted of no bot: the check of the key."""

NONCE_BYTES = 12
"""As AES-GCM requires: https://csrc.nist.gov/pubs/sp/800/38/d/final"""

SECRET_KEY_CHARACTERS_MIN = 16
"""A shorter key could be found by trial from a copy of the database: it is not stretched."""


class Seal:
    """Encrypts texts so that only the same ``SECRET_KEY`` decrypts them, for the same bot.

    The bot's id is authenticated with the text, so an encrypted token cannot be moved to another bot's row.

    Attributes:
        digests: What API tokens and sessions are stored as, by another key derived from it.

    >>> seal = Seal("a key that no trial finds")
    >>> seal.open(seal.seal("42:secret", bot_id=42), bot_id=42)
    '42:secret'
    >>> seal.open(b"cut off", bot_id=42) is None
    True

    While the key is changed there are two: both decrypt, and what is encrypted is so with the one of the database.

    >>> both = Seal("the key of tomorrow here", "a key that no trial finds")
    >>> both.open(seal.seal("42:secret", bot_id=42), bot_id=42)
    '42:secret'

    Args:
        secret_key: ``SECRET_KEY``.
        former: ``FORMER_SECRET_KEY``, which decrypts, too.
    """

    def __init__(self, secret_key: str, former: str | None = None) -> None:
        keys = {"SECRET_KEY": secret_key} | ({"FORMER_SECRET_KEY": former} if former else {})
        for name, key in keys.items():
            if len(key) < SECRET_KEY_CHARACTERS_MIN:
                raise SettingsError(f"{name} has {len(key)} characters; it needs at least {SECRET_KEY_CHARACTERS_MIN}")
        if former == secret_key:
            raise SettingsError("FORMER_SECRET_KEY is the same as SECRET_KEY; leave it out, or set the one before")
        self._ciphers = [AESGCM(_derived(key, b"tempogram tokens at rest", 32)) for key in keys.values()]
        self.digests = Digests(*keys.values())

    def __repr__(self) -> str:
        return "Seal(…)"

    @property
    def fingerprints(self) -> tuple[int, ...]:
        """Of ``SECRET_KEY``, and of the former one if there is one: see ``Digests``."""
        return self.digests.fingerprints

    @property
    def has_two(self) -> bool:
        return len(self._ciphers) > 1

    def seal(self, text: str, *, bot_id: int) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._ciphers[self.digests.writing].encrypt(nonce, text.encode(), _owner(bot_id))

    def open(self, sealed: bytes, *, bot_id: int) -> str | None:
        """Return the text; None: it was encrypted with another key, or changed since."""
        opened = (_opened(cipher, sealed, bot_id) for cipher in self._ciphers)
        return next((text for text in opened if text is not None), None)

    def key_of(self, sealed: bytes, *, bot_id: int) -> int | None:
        """Return the fingerprint of the key with which it is encrypted; None: with none of these."""
        pairs = zip(self.fingerprints, self._ciphers, strict=True)
        return next((key for key, cipher in pairs if _opened(cipher, sealed, bot_id) is not None), None)

    def is_under_secret_key(self, sealed: bytes, *, bot_id: int) -> bool:
        """Tell whether it is encrypted with ``SECRET_KEY``, not with the former one."""
        return self.key_of(sealed, bot_id=bot_id) == self.fingerprints[0]

    def write_with_secret_key(self) -> None:
        """Encrypt with ``SECRET_KEY`` from now on."""
        self.digests.writing = 0

    def write_as(self, sealed: bytes, *, bot_id: int) -> None:
        """Encrypt with the key with which this is encrypted, from now on."""
        self.digests.write_as(self.key_of(sealed, bot_id=bot_id))


def _derived(secret_key: str, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret_key.encode())


def _opened(cipher: AESGCM, sealed: bytes, bot_id: int) -> str | None:
    try:
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return cipher.decrypt(nonce, text, _owner(bot_id)).decode()
    except (InvalidTag, ValueError, TypeError):  # cut off, or no bytes at all: SQLite stores what it is given
        return None


def secret_key(given: str | None, *, path: Path, name: str = "SECRET_KEY") -> str:
    """Return the given key, else the one in the file, which is created if it is missing.

    Raises:
        SettingsError: The file cannot be read or written, or holds no key.
    """
    return stored_key(given, path=path, name=name) or _created(path, name)


def stored_key(given: str | None, *, path: Path, name: str = "SECRET_KEY") -> str | None:
    """Return the given key, else the one in the file; None: there is none yet. Raises as ``secret_key`` does."""
    if given:
        return given
    try:
        return _read(path, name)
    except OSError as error:
        raise _unusable(path, name, error) from error


def _created(path: Path, name: str) -> str:
    try:
        _create(path)
        return _read(path, name) or ""
    except OSError as error:
        raise _unusable(path, name, error) from error


def _unusable(path: Path, name: str, error: OSError) -> SettingsError:
    return SettingsError(f"{name} is not set, and its file {path} cannot be used: {error.strerror}")


def _read(path: Path, name: str) -> str | None:
    if not path.exists():
        return None
    try:
        key = path.read_text().strip()
    except UnicodeDecodeError:
        key = ""
    if len(key) < SECRET_KEY_CHARACTERS_MIN:
        raise SettingsError(
            f"the file {path} of {name} is damaged: it should hold at least {SECRET_KEY_CHARACTERS_MIN} characters; "
            "restore it, or delete it (if that was SECRET_KEY's, enter the tokens anew then: see tempogram keys)"
        )
    return key


def _create(path: Path) -> None:
    """Write a new key to a file of its own and link it into place: of two concurrent starts, one key remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    with suppress(FileExistsError):
        path.hardlink_to(own)
    own.unlink()


def _owner(bot_id: int) -> bytes:
    return str(bot_id).encode()
