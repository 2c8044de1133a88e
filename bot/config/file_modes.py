"""Checks whether other users of the machine may read or change the files of a program, and whether the disk is full.

Files are made for their owner alone. What was there before is not changed, as an operator may want it so; it is named.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from tempogram.bot.config.data_dir import database_url, secret_key_file
from tempogram.bot.config.settings import Settings
from tempogram.storage.database.engines import is_sqlite, parse

log = structlog.get_logger()

FREE_BYTES_MIN = 256 << 20
"""Below this a disk counts as nearly full. untuned: a busy bot fills it in days, a full disk refuses every message."""


def open_to_others(settings: Settings) -> list[Path]:
    """Return the files and directories that other users may read or change and should not.

    What lies in a directory that only its owner may enter is safe, whatever its own mode. A directory that others may
    read, but not write to, only shows the names in it.
    """
    directories = {settings.data_dir, *(path.parent for path in _database_files(settings))}
    files = [secret_key_file(settings), settings.data_dir / "admin_token", *_database_files(settings), Path(".env")]
    exposed = [path for path in dict.fromkeys(files) if path.exists() and _is_exposed(path)]
    return [path for path in sorted(directories) if path.is_dir() and _may_be_changed(path)] + exposed


def way_out(paths: list[Path]) -> str:
    """Return the command that closes them.

    >>> way_out([Path("data"), Path("data/secret_key")])
    'chmod go-rwx data data/secret_key'
    """
    return f"chmod go-rwx {' '.join(map(str, paths))}"


def free_bytes(settings: Settings) -> int | None:
    """Return how much the disk of the data directory has left; None if that is enough."""
    free = shutil.disk_usage(settings.data_dir).free
    return free if free < FREE_BYTES_MIN else None


def report_data_dir(settings: Settings) -> None:
    """Say at a start which files are open to others, and that the disk is nearly full."""
    if paths := open_to_others(settings):
        log.warning("files_open_to_others", files=[str(path) for path in paths], way_out=way_out(paths))
    if (free := free_bytes(settings)) is not None:
        log.warning("disk_nearly_full", directory=str(settings.data_dir), free_mb=free >> 20)


def _database_files(settings: Settings) -> Iterator[Path]:
    url = parse(database_url(settings))
    if is_sqlite(url):
        path = Path(url.database or "").resolve()
        yield from (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm")))


def _is_exposed(path: Path) -> bool:
    is_open = bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    return is_open and bool(path.absolute().parent.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH))


def _may_be_changed(directory: Path) -> bool:
    found = directory.stat()
    # Without the sticky bit, who may write to a directory may replace what is in it; so may who owns it.
    is_writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    return bool(is_writable) or os.geteuid() not in {0, found.st_uid}
