"""Splits a body into lines as it arrives."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

LINE_BYTES_MAX = 16 << 10


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a body, without its end. ``text`` is None for one that is no text, or too long: ``reason`` says so."""

    number: int
    text: str | None
    reason: str = ""


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[Line]:
    """Give each line that is not empty; never more than one line and one chunk are in memory."""
    number, rest = 1, b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for each in whole:
            if not _is_empty(number, each):
                yield _line(number, each)
            number += 1
        rest = rest[: LINE_BYTES_MAX + 1]
    if not _is_empty(number, rest):
        yield _line(number, rest)


def _is_empty(number: int, line: bytes) -> bool:
    return not (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()


def _line(number: int, line: bytes) -> Line:
    if len(line) > LINE_BYTES_MAX:
        return Line(number, None, f"it has more than {LINE_BYTES_MAX:,} bytes")
    try:
        return Line(number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n"))
    except UnicodeDecodeError:
        return Line(number, None, "it is not UTF-8")
