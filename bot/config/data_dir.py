"""The directory of the keys, the admin token and, by default, the database."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tempogram.api.security.principals import BearerTokens, Role
from tempogram.bot.config.settings import Settings
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.keys import Seal, secret_key, stored_key


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """The API's bearer token, from ``ADMIN_TOKEN`` or from a file that only its owner may read.

    Attributes:
        is_new: It was made just now, and is shown once.
    """

    value: str
    is_new: bool


def read_admin_token(settings: Settings) -> AdminToken:
    """Read the admin token, or make it.

    Raises:
        SettingsError: ``DATA_DIR`` cannot be used.
    """
    given = settings.admin_token.get_secret_value()
    with _usable(settings.data_dir) as data_dir:
        path = data_dir / "admin_token"
        is_new = not given and not path.exists()
        return AdminToken(
            value=secret_key(given, path=path, name="ADMIN_TOKEN"),
            is_new=is_new,
        )


def bearer_tokens(settings: Settings, admin_token: str) -> BearerTokens:
    """Return the tokens of all roles; raises as ``BearerTokens`` does."""
    return BearerTokens(
        {
            "ADMIN_TOKEN": (Role.ADMIN, admin_token),
            "OPERATOR_TOKEN": (Role.OPERATOR, settings.operator_token.get_secret_value()),
            "VIEWER_TOKEN": (Role.VIEWER, settings.viewer_token.get_secret_value()),
        }
    )


def seal(settings: Settings) -> Seal:
    """Read the key that encrypts the bot tokens, or make it; raises as ``read_admin_token`` does."""
    with _usable(settings.data_dir):
        key = secret_key(settings.secret_key.get_secret_value(), path=secret_key_file(settings))
        return Seal(key, _former_key(settings))


def stored_seal(settings: Settings) -> Seal | None:
    """Read that key; None: there is none yet. It makes none, and raises as ``read_admin_token`` does.

    Where only the former one is there, as a start has not made the new one yet, that reads.
    """
    with _usable(settings.data_dir):
        key = stored_key(settings.secret_key.get_secret_value(), path=secret_key_file(settings))
        former = _former_key(settings)
    if key is None:
        return None if former is None else Seal(former)
    return Seal(key, former)


def is_new_key_due(settings: Settings) -> bool:
    """Tell whether a start makes the new key, as only the former one is there. Raises as ``read_admin_token`` does."""
    with _usable(settings.data_dir):
        given = stored_key(settings.secret_key.get_secret_value(), path=secret_key_file(settings))
        return given is None and _former_key(settings) is not None


def _former_key(settings: Settings) -> str | None:
    given, path = settings.former_secret_key.get_secret_value(), settings.data_dir / "former_secret_key"
    return stored_key(given, path=path, name="FORMER_SECRET_KEY")


def secret_key_file(settings: Settings) -> Path:
    return settings.data_dir / "secret_key"


def database_url(settings: Settings) -> str:
    return settings.database_url or f"sqlite+aiosqlite:///{settings.data_dir}/tempogram.db"


SIMULATED = "simulated"
"""The folder of a start without a bot, in the data directory: nothing of it is mixed with what is real."""

SIMULATOR = "simulator"


@contextmanager
def simulator_noted(data_dir: Path, url: str) -> Iterator[None]:
    """Keep the address of a simulated Telegram in a file until the block ends, so that other commands find it."""
    path = data_dir / SIMULATOR
    path.touch(mode=0o600)
    path.write_text(url)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def noted_simulator(settings: Settings) -> str | None:
    """Return the address of the simulated Telegram that was started last; it may have been killed since."""
    try:
        return (settings.data_dir / SIMULATED / SIMULATOR).read_text().strip() or None
    except OSError:
        return None


@contextmanager
def _usable(data_dir: Path) -> Iterator[Path]:
    """Make the data directory if needed, and report what goes wrong with it.

    Raises:
        SettingsError: It cannot be made, read or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # messages are stored there
        if not os.access(data_dir, os.W_OK | os.X_OK):  # else it would be noticed at the first upload
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield data_dir
    except FileExistsError:
        raise SettingsError(f"DATA_DIR is {str(data_dir)!r}, which is a file; set it to a directory") from None
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR is {str(data_dir)!r}, which cannot be used ({error.strerror or error}); set it to a directory "
            "that this user may write to"
        ) from None


def services_file(settings: Settings) -> Path | None:
    """Return the file that declares services; None: there is none."""
    if settings.services_file is not None:
        return settings.services_file
    path = settings.data_dir / "services.toml"
    return path if path.is_file() else None
