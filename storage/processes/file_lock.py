"""The lock on an SQLite file: on the file itself, so that no second name of it lets in a second process.

A symbolic link, a hard link, a bind mount and a volume of two containers all lead to one file. On Linux the lock is on
one byte of it, far behind what SQLite reads, writes or locks, and belongs to an open descriptor: it ends with the
process, however that ends. Other systems have no such lock, so there it is on a file beside the database.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from tempogram.engine.model.errors import SettingsError

log = structlog.get_logger()

LOCKED_BYTE = 1 << 62
"""SQLite's own locks are at 1 GiB, and a database ends before 2^48. Any number behind that, the same in every version.
Source: https://www.sqlite.org/fileformat2.html#the_lock_byte_page"""

FILE_MODE = 0o600
"""SQLite gives the files beside a database its mode, so that these are the owner's, too, from their first byte on."""

FLOCK = "hhqqi0q"
"""C's ``struct flock``: type, whence, start, length, process; padded as C does."""

Identity = tuple[int, int]
"""The device and the inode of a file, whatever its name."""

_held: set[Identity] = set()
_one_at_a_time = threading.Lock()
"""The files that this process has locked. One of them must not be opened for a second lock: closing any descriptor of a
file drops all locks that SQLite has on it in this process (https://www.sqlite.org/howtocorrupt.html, 2.2)."""


class FileInUse(Exception):
    """Another process has the lock, or this one has it already; ``process`` is its id, if that can be found."""

    def __init__(self, process: int | None) -> None:
        super().__init__(process)
        self.process = process


class LockedFile:
    """An SQLite file that is locked, and what was noticed of its names.

    Args:
        name: By which it was opened.
        descriptor: Of the file, open to be read.
        beside: Of the file with the lock, where that is another one.
    """

    def __init__(self, name: Path, descriptor: int, beside: int | None) -> None:
        self.path = name.resolve()
        self._name = name.absolute()
        self.descriptor = descriptor
        self.identity = _identity(os.fstat(descriptor))
        self._beside = beside
        self._wal: Identity | None = None
        self._noticed: set[Path] = set()

    def check(self) -> None:
        """Notice that the file, or the WAL beside it, was deleted or replaced; log each once.

        Raises:
            SettingsError: Another file has the database's name: a second process may use that one.
        """
        found = _identity_of(self._name)
        if found is None:
            self._notice(
                self._name,
                way_out="if it was moved, move it back; else let it send what waits, stop it, and restore a backup",
            )
        elif found != self.identity:
            raise SettingsError(
                f"the database {self._name} was replaced by another file while it was used, and a second process would "
                "send by that one twice as fast as allowed; start again with the one that is meant"
            )
        else:
            self._check_wal()

    def warn_of_links(self) -> None:
        """Say that the file has several names: opened by another one, its WAL would not be found."""
        links = os.fstat(self.descriptor).st_nlink
        if links > 1:
            log.warning(
                "database_has_other_names",
                database=str(self.path),
                links=links,
                way_out="delete the other hard links: a start by one of them would not find the WAL of this one",
            )

    def close(self) -> None:
        """Let go. All locks that SQLite has on the file in this process are lost, too."""
        os.close(self.descriptor)
        if self._beside is not None:
            os.close(self._beside)

    def _check_wal(self) -> None:
        path = wal_of(self.path)
        found = _identity_of(path)
        if self._wal is not None and found != self._wal:
            self._notice(path, way_out="end the process by SIGTERM: that writes what is in it into the database")
        self._wal = self._wal or found

    def _notice(self, path: Path, *, way_out: str) -> None:
        if path not in self._noticed:
            self._noticed.add(path)
            log.error("database_file_gone", file=str(path), way_out=way_out)


@contextmanager
def locked_file(path: Path) -> Iterator[LockedFile]:
    """Lock an SQLite file until the block ends; it is made, with mode 0600, if it is missing.

    SQLite must not have the file open in this process when the block begins or ends.

    Raises:
        FileInUse: It is locked.
        SettingsError: The file cannot be opened, or its file system has no locks.
    """
    with _one_at_a_time:
        try:
            locked = _locked(path)
        except OSError as error:
            raise SettingsError(
                f"the database file {path} cannot be opened and locked ({error.strerror or error}); set DATABASE_URL "
                "or DATA_DIR to a place on a local disk that this user may write to"
            ) from None
        _held.add(locked.identity)
    try:
        yield locked
    finally:
        with _one_at_a_time:
            _held.discard(locked.identity)
            locked.close()


def wal_of(path: Path) -> Path:
    """Return the WAL of a database; SQLite puts it beside the file that a symbolic link leads to."""
    resolved = path.resolve()
    return resolved.with_name(f"{resolved.name}-wal")


def _locked(path: Path) -> LockedFile:
    path.absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _identity_of(path) in _held:
        raise FileInUse(os.getpid())
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        beside = _lock(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return LockedFile(path, descriptor, beside)


def _lock(path: Path, descriptor: int) -> int | None:
    """Lock an open file; where that is done by a file beside it, return the descriptor of that one."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return _locked_beside(path.resolve())
    byte = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, byte)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
        raise FileInUse(_holder(path)) from None
    return None


def _locked_beside(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FileInUse(None) from None
    return descriptor


def _holder(path: Path) -> int | None:
    """Return the process that has locked a file; None: it cannot be seen from here, as from another container."""
    wanted = _identity_of(path)
    processes = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    return next((int(each.name) for each in processes if _has_locked(each, wanted)), None)


def _has_locked(process: Path, wanted: Identity | None) -> bool:
    with suppress(OSError):  # it has ended meanwhile, or is another user's
        for link in (process / "fd").iterdir():  # all are listed at once
            with suppress(OSError):  # it has closed this one meanwhile
                is_it = _identity(link.stat()) == wanted
                if is_it and "OFDLCK" in (process / "fdinfo" / link.name).read_text():
                    return True
    return False


def _identity_of(path: Path) -> Identity | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
