"""Reads the parts of a form one after the other, as they arrive.

Source: https://datatracker.ietf.org/doc/html/rfc7578
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from tempogram.api.core.errors import Malformed

HEAD_BYTES_MAX = 8 << 10

UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What Python's parser raises for malformed parameters of a header, such as ``name*0=a; name*=b``."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. Its bytes must be read before the next part.

    Attributes:
        name: '' if it has none.
        file_name: None: it is a field, not a file.
    """

    name: str
    file_name: str | None
    chunks: AsyncIterator[bytes]


class Multipart:
    """Splits a stream at its boundary; never more than one chunk is in memory.

    Raises, from each of its methods:
        Malformed: It is not a form, or it ends too early.
    """

    def __init__(self, chunks: AsyncIterator[bytes], boundary: str) -> None:
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is found as the others are

    async def parts(self) -> AsyncIterator[Part]:
        """Yield every part."""
        await self._skip(self._until(self._delimiter))
        while (mark := await self._take(2)) != b"--":
            if mark != b"\r\n":
                raise Malformed("the form has bytes between its parts")
            head = await self._head()
            with malformed("a part of the form has headers that cannot be read"):
                name, file_name = head.get_param("name", "", header="content-disposition"), head.get_filename()
            chunks = self._until(self._delimiter)
            yield Part(name if isinstance(name, str) else "", file_name, chunks)
            await self._skip(chunks)

    async def _head(self) -> Message:
        head = bytearray()
        async for chunk in self._until(b"\r\n\r\n"):
            head += chunk
            if len(head) > HEAD_BYTES_MAX:
                raise Malformed("a part of the form has headers that do not end")
        return HeaderParser().parsestr(head.decode(errors="replace"))

    async def _until(self, end: bytes) -> AsyncIterator[bytes]:
        """Yield what comes before ``end``, and remove ``end``."""
        while (found_at := self._buffer.find(end)) < 0:
            safe = len(self._buffer) - len(end) + 1
            if safe > 0:
                yield bytes(self._buffer[:safe])
                del self._buffer[:safe]
            await self._more()
        yield bytes(self._buffer[:found_at])
        del self._buffer[: found_at + len(end)]

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _more(self) -> None:
        async for chunk in self._chunks:
            self._buffer += chunk
            return
        raise Malformed("the form ends in the middle of a part")

    @staticmethod
    async def _skip(chunks: AsyncIterator[bytes]) -> None:
        async for _ in chunks:
            pass


@contextmanager
def malformed(sentence: str) -> Iterator[None]:
    """Raise ``Malformed`` with a sentence if the parameters of a header cannot be read."""
    try:
        yield
    except UNREADABLE:
        raise Malformed(sentence) from None
