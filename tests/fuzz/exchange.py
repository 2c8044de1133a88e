"""One request over a connection of its own, and what is wrong with its answer."""

from __future__ import annotations

import asyncio

from tests.fuzz.requests import Input

ANSWER_S = 20.0
"""Within which each whole request is answered, also on a busy machine."""

MORE_S = 0.2
"""How long one that may be incomplete waits for an answer before its client says that nothing more comes."""


async def trouble_with(given: Input, port: int) -> str | None:
    """Make one request; return what is wrong with its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(given.raw)
        try:
            async with asyncio.timeout(ANSWER_S):
                status = await _status(given, reader, writer)
        except ConnectionError:
            return "the connection was reset" if given.is_whole else None
    except TimeoutError:
        return f"no answer, and no end, within {ANSWER_S:g} s"
    finally:
        writer.transport.abort()
    if status is None:
        return "no answer" if given.is_whole else None
    return f"status {status}" if status >= 500 else None


async def _status(given: Input, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    """Return the status of the first answer; None if there is none."""
    reading = asyncio.ensure_future(reader.readline())
    if not given.is_whole:
        await asyncio.wait([reading], timeout=MORE_S)
        if not reading.done():
            writer.write_eof()
    line = await reading
    if b" 100 " in line:
        await reader.readline()
        return await _status(given, reader, writer)
    return int(line.split()[1]) if line else None
