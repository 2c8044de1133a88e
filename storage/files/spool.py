"""Buffers incoming files on disk, counted and hashed, before the database stores them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Self

from tempogram.engine.model.errors import EngineError

PART_BYTES = 1 << 20
"""The size of one row, and the most of a file that is in memory at a time."""

FILE_NAME_MAX = 255
"""Characters; of a longer name the last are kept, because they have the extension."""


class FileTooLarge(EngineError):
    """A file has more bytes than Telegram accepts from a bot; nothing of it was stored."""

    def __init__(self, name: str, bytes_max: int, size_bytes: int | None = None) -> None:
        size = "more than that" if size_bytes is None else f"{size_bytes:,} bytes"
        super().__init__(
            f"the file {name!r} is too large to upload: Telegram accepts {bytes_max:,} bytes from a bot, and it has "
            f"{size}; make it smaller, send it by a file_id, "
            "or raise TELEGRAM_UPLOAD_MB if your Bot API server accepts more"
        )


@dataclass(frozen=True, slots=True)
class Spooled:
    """A received file, in an unnamed temporary file that is deleted by ``close`` or with the process."""

    file_name: str
    sha256: str
    size_bytes: int
    _file: IO[bytes]

    def parts(self) -> Iterator[bytes]:
        self._file.seek(0)
        while part := self._file.read(PART_BYTES):
            yield part

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Spool:
    """Receives files into ``directory``, which should be on a disk; ``/tmp`` often is not."""

    directory: Path
    bytes_max: int

    async def take(self, file_name: str, chunks: AsyncIterable[bytes], *, size_bytes: int | None = None) -> Spooled:
        """Read a file to its end.

        Args:
            file_name: As Telegram will show it.
            chunks: Its bytes.
            size_bytes: If it is known; then a file that is too large is refused unread.

        Raises:
            FileTooLarge: Nothing of it is stored.
        """
        if size_bytes is not None and size_bytes > self.bytes_max:
            raise FileTooLarge(file_name, self.bytes_max, size_bytes)
        file_name = printable(file_name)
        file = SpooledTemporaryFile(max_size=PART_BYTES, dir=str(self.directory))  # noqa: SIM115 - the caller closes it
        try:
            return await self._fill(file, file_name, chunks)
        except BaseException:
            file.close()
            raise

    async def _fill(self, file: IO[bytes], file_name: str, chunks: AsyncIterable[bytes]) -> Spooled:
        digest, count = hashlib.sha256(), 0
        async for chunk in chunks:
            count += len(chunk)
            if count > self.bytes_max:
                raise FileTooLarge(file_name, self.bytes_max)
            digest.update(chunk)
            file.write(chunk)
        return Spooled(file_name, digest.hexdigest(), count, file)


def printable(file_name: str) -> str:
    r"""Return a file's name without what a header or a column cannot contain.

    >>> printable("cat\r\n.jpg"), printable("")
    ('cat.jpg', 'file')
    """
    return "".join(character for character in file_name if character.isprintable())[-FILE_NAME_MAX:] or "file"
