"""Reads how much of a WAL is intact: what is not, SQLite leaves out without a word.

Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEADER = struct.Struct(">8I")  # magic, version, page size, how often it was begun anew, salts, checksums
FRAME = struct.Struct(">6I")  # page number, pages of the database or 0, salts, checksums; then the page

MAGICS = {0x377F0682, 0x377F0683}
PAGE_BYTES_MIN, PAGE_BYTES_MAX = 512, 65_536


@dataclass(frozen=True, slots=True)
class Frame:
    """One changed page.

    Attributes:
        is_own: It was written since the WAL was begun anew. SQLite overwrites the frames of earlier rounds one by one.
        is_earlier: It is left of an earlier round.
        is_commit: It is the last of a transaction.
    """

    is_own: bool
    is_earlier: bool
    is_commit: bool


@dataclass(frozen=True, slots=True)
class Wal:
    """What a process that did not end cleanly has left.

    Attributes:
        frames: In their order.
        flaw: Why there are none; None: there are.
    """

    frames: Sequence[Frame] = ()
    flaw: str | None = None

    def damage(self, *, taken: int) -> str | None:
        """Return what is wrong with it; None if it may be as it was left.

        Args:
            taken: How many frames SQLite takes from it: those of whole transactions, from the first on.
        """
        left = self.frames[taken:]
        own = [frame for frame in left if frame.is_own]
        # A kill may cut off the last frame, though nothing before it.
        is_cut = any(frame.is_commit for frame in own[:-1])
        is_overwritten = any(not frame.is_own and not frame.is_earlier for frame in left)
        return self.flaw or ("is damaged" if is_cut or is_overwritten else None)


def read_wal(path: Path) -> Wal:
    """Read a WAL before SQLite opens the database, and makes a new one if it is missing."""
    try:
        with path.open("rb") as file:
            return Wal(list(_frames(file)))
    except FileNotFoundError:
        return Wal(flaw="is missing")
    except _NoWal:
        return Wal(flaw="is empty or damaged")


class _NoWal(Exception):
    pass


def _frames(file: BinaryIO) -> Iterator[Frame]:
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise _NoWal
    magic, _, page_bytes, rounds, salt, second_salt, *_ = HEADER.unpack(header)
    if magic not in MAGICS or not PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX:
        raise _NoWal
    while len(read := file.read(FRAME.size)) == FRAME.size:
        _, pages, its_salt, its_second, *_ = FRAME.unpack(read)
        is_own = (its_salt, its_second) == (salt, second_salt)
        # Each round adds 1 to the first salt.
        is_earlier = 0 < (salt - its_salt) % 2**32 <= rounds
        yield Frame(is_own=is_own, is_earlier=is_earlier, is_commit=pages > 0)
        file.seek(page_bytes, os.SEEK_CUR)
