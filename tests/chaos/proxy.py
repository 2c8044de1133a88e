"""A proxy between one process and one server, whose connections can be cut, refused or silenced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tempogram.bot.demo.process import free_port

READ_BYTES = 65_536


@dataclass(slots=True)
class Proxy:
    """Passes bytes on, both ways."""

    server_port: int
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _lines: set[asyncio.Task[None]] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _is_broken: bool = False
    _server: asyncio.Server | None = None

    def cut(self) -> None:
        """Reset every connection that stands; new ones are let through."""
        for writer in self._writers:
            writer.transport.abort()

    def break_off(self) -> None:
        """Reset every connection, and each that is tried from now on."""
        self._is_broken = True
        self.cut()

    async def refuse(self) -> None:
        """Reset every connection, and refuse new ones: there is no listener."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def listen(self) -> None:
        """Take connections, also after they were refused."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    def stall(self) -> None:
        """Keep all bytes back, without ending a connection."""
        self._flows.clear()

    def mend(self) -> None:
        """Let everything through again, what was kept back first."""
        self._is_broken = False
        self._flows.set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen on a free port until the block ends."""
        self._flows.set()
        self.port = free_port()
        await self.listen()
        try:
            yield
        finally:
            assert self._server is not None
            self._server.close()
            self.break_off()
            self._flows.set()
            await asyncio.gather(*self._lines)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.create_task(self._run_line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _run_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_broken:
            writer.transport.abort()
            return
        try:
            there, away = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, away}
        self._writers |= pair
        try:
            await asyncio.gather(self._pass(reader, away), self._pass(there, writer))
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one way until its end; then the other way is over too, as for a client that has gone."""
        try:
            while data := await reader.read(READ_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
