"""The body of a call: JSON, or a form with files. Each looks at its lease just before the first byte leaves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import MultipartWriter
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload, Payload, StringPayload

from engine.ports import Clock
from storage.uploads import KeptFile

Parts = Callable[[str], AsyncIterator[bytes]]
"""Reads a file by its sha256, a part at a time."""


class Departure:
    """Notes when a body began to leave, and keeps it back if its lease has run out."""

    def __init__(self, *, until_ms: int, clock: Clock) -> None:
        self.written_s: float | None = None
        self.is_overdue = False
        self._until_ms = until_ms
        self._clock = clock

    def begin(self) -> None:
        """Say that the first byte leaves now. aiohttp keeps the headers back until then: nothing has left so far."""
        if self._clock() >= self._until_ms:
            self.is_overdue = True
            raise TimeoutError("the lease ran out before the call was written")
        self.written_s = time.monotonic()


class JsonBody(BytesPayload):
    """Parameters as they are stored."""

    def __init__(self, value: bytes, departure: Departure) -> None:
        super().__init__(value, content_type="application/json")
        self._departure = departure

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._departure.begin()
        await super().write_with_length(writer, content_length)


class FormBody(MultipartWriter):
    """Parameters and files. Its length is known before: Telegram refuses too much at once."""

    def __init__(
        self, params: Mapping[str, Any], files: Mapping[str, KeptFile], parts: Parts, departure: Departure
    ) -> None:
        super().__init__("form-data")
        self._departure = departure
        for name, value in params.items():
            self._add(StringPayload(_text(value)), name=name)
        for name, file in files.items():
            self._add(FilePart(file, parts), name=name, filename=file.file_name)

    def _add(self, part: Payload, **names: str) -> None:
        # Names of files go out as they are: Telegram shows them, and would show percent signs.
        part.set_content_disposition("form-data", quote_fields=False, **names)
        self.append_payload(part)

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's own signature
        self._departure.begin()
        await super().write(writer, close_boundary)


class FilePart(Payload):
    """A kept file, read while it is written: only one part of it is in memory."""

    def __init__(self, file: KeptFile, parts: Parts) -> None:
        super().__init__(file, filename=file.file_name)
        self._size = file.size_bytes
        self._parts = parts

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError("a file is written, and never held as text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        async for part in self._parts(self._value.sha256):
            await writer.write(part)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
