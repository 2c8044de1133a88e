"""Bytes that come in: counted and hashed before the books hear of them, and never all in memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Self

from tempogram.engine.model.errors import EngineError

PART_BYTES = 1 << 20
"""Of one row, and the most of one file that is in memory at a time."""

FILE_NAME_MAX = 255
"""Characters, of which the last are kept: they say what it is."""


class FileTooLarge(EngineError):
    """A file has more bytes than Telegram takes from a bot; nothing of it was kept."""

    def __init__(self, name: str, bytes_max: int, size_bytes: int | None = None) -> None:
        size = "more than that" if size_bytes is None else f"{size_bytes:,} bytes"
        super().__init__(
            f"the file {name!r} is too large to upload: Telegram takes {bytes_max:,} bytes from a bot, and it has "
            f"{size}; make it smaller, send it by a file_id, "
            "or raise TELEGRAM_UPLOAD_MB if your Bot API server takes more"
        )


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that has come in whole. It lies in an unnamed file, which goes with ``close`` or with the process."""

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
    """Where files come in; ``directory`` is on a disk, which ``/tmp`` often is not."""

    directory: Path
    bytes_max: int

    async def take(self, file_name: str, chunks: AsyncIterable[bytes], *, size_bytes: int | None = None) -> Spooled:
        """Read a file to its end.

        Args:
            file_name: As Telegram shows it.
            chunks: Its bytes.
            size_bytes: As far as that is known before; then a file that is too large is not even read.

        Raises:
            FileTooLarge: Nothing is left of it.
        """
        if size_bytes is not None and size_bytes > self.bytes_max:
            raise FileTooLarge(file_name, self.bytes_max, size_bytes)
        file_name = shown(file_name)
        file = SpooledTemporaryFile(max_size=PART_BYTES, dir=str(self.directory))  # noqa: SIM115 - lent to who called
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


def shown(file_name: str) -> str:
    r"""Return a file's name as a header and a column can hold it.

    >>> shown("cat\r\n.jpg"), shown("")
    ('cat.jpg', 'file')
    """
    return "".join(character for character in file_name if character.isprintable())[-FILE_NAME_MAX:] or "file"
