"""A call with files, as ``multipart/form-data``: the files are read from storage while it is written.

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from tempogram.storage.files.uploads import StoredFile

Parts = Callable[[str], AsyncIterator[bytes]]
"""Reads a file by its sha256, in parts."""

BINARY = "application/octet-stream"


class Form:
    """Parameters and files. Its length is known before the files are read, so Telegram can refuse it at once."""

    def __init__(self, params: Mapping[str, Any], files: Mapping[str, StoredFile], parts: Parts) -> None:
        boundary = uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._pieces = list(_pieces(boundary, params, files))
        self._parts = parts

    @property
    def length(self) -> int:
        return sum(piece.size_bytes if isinstance(piece, StoredFile) else len(piece) for piece in self._pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in parts.

        Raises:
            LedgerError: A file cannot be read.
        """
        for piece in self._pieces:
            if isinstance(piece, StoredFile):
                async for part in self._parts(piece.sha256):
                    yield part
            else:
                yield piece


def _pieces(boundary: str, params: Mapping[str, Any], files: Mapping[str, StoredFile]) -> Iterator[bytes | StoredFile]:
    for name, value in params.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield f"--{boundary}\r\n{_named(name)}\r\n\r\n{text}\r\n".encode()
    for name, file in files.items():
        kind = mimetypes.guess_type(file.file_name)[0] or BINARY
        named = f'{_named(name)}; filename="{_quoted(file.file_name)}"'
        yield f"--{boundary}\r\n{named}\r\nContent-Type: {kind}\r\n\r\n".encode()
        yield file
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _named(name: str) -> str:
    return f'Content-Disposition: form-data; name="{_quoted(name)}"'


def _quoted(name: str) -> str:
    r"""Return a name escaped for a quoted string; a client of the API chooses parameter names freely.

    >>> print(_quoted('a"b\\c'), _quoted("a\r\nb"))
    a\"b\\c ab
    """
    return name.translate({ord("\\"): "\\\\", ord('"'): '\\"', ord("\r"): None, ord("\n"): None})
