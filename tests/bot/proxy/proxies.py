"""A proxy on this machine, HTTP or SOCKS5, that knows a host by a name that nothing else can look up."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

HOST = "telegram.test"
"""Reserved, so that no resolver knows it: https://www.rfc-editor.org/rfc/rfc6761#section-6.2"""

NO_AUTHENTICATION, USER_PASSWORD, NONE_FITS = 0, 2, 0xFF
IPV4, NAME = 1, 3
DONE, NOT_ALLOWED = 0, 2


@dataclass
class FakeProxy:
    """Passes on what comes, if its user is the wanted one.

    Attributes:
        wants: ``user:password``; empty: it asks for none.
        answer: To a whole call or to CONNECT, in place of passing it on; empty: it passes on. SOCKS5: any refuses.
        targets: What was asked for, as it was written: ``CONNECT host:port``, ``POST http://host:port/…``,
            or ``host:port``.
        credentials: What each came with.
    """

    wants: str = ""
    answer: bytes = b""
    targets: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    _talks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def serve(self, scheme: str) -> AsyncIterator[str]:
        """Run it until the block ends; yield its address, without a user."""
        talk = self._talk_socks if scheme == "socks5" else self._talk_http

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._talks.add(asyncio.create_task(_closing(talk(reader, writer), writer)))

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{scheme}://{host}:{port}"
        finally:
            server.close()
            for each in self._talks:
                each.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        self.targets.append(f"{method} {target}")
        given = [line.rpartition(" ")[2] for line in lines if line.lower().startswith("proxy-authorization: basic ")]
        self.credentials += [base64.b64decode(each).decode() for each in given]
        if self.wants and self.credentials[-1:] != [self.wants]:
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 4\r\n\r\nwho?")
        elif self.answer:
            writer.write(self.answer)
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection esta")
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"blished\r\n\r\n")
            await self._pass_on(reader, writer, *_host_and_port(target))
        else:
            parts = urlsplit(target)
            kept = [line for line in lines if line and not line.lower().startswith("proxy-")]
            words = [f"{method} {parts._replace(scheme='', netloc='').geturl()} HTTP/1.1", "Connection: close", *kept]
            call = "\r\n".join([*words, "", ""]).encode()
            await self._pass_on(reader, writer, parts.hostname or "", parts.port or 80, first=call)

    async def _talk_socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        offered = await reader.readexactly(methods)
        wanted = USER_PASSWORD if self.wants else NO_AUTHENTICATION
        writer.write(bytes([5, wanted if wanted in offered else NONE_FITS]))
        if wanted not in offered:
            return
        if self.wants:
            user = (await reader.readexactly((await reader.readexactly(2))[1])).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            self.credentials.append(f"{user}:{password}")
            writer.write(bytes([1, self.credentials[-1] != self.wants]))
            if self.credentials[-1] != self.wants:
                return
        kind = (await reader.readexactly(4))[3]
        if kind == NAME:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.targets.append(f"{host}:{port}")
        writer.write(bytes([5, NOT_ALLOWED if self.answer else DONE, 0, IPV4, 0, 0, 0, 0, 0, 0]))
        if not self.answer:
            await self._pass_on(reader, writer, host, port)

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, *, first: bytes = b""
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1" if host == HOST else host, port)
        back.write(first)
        try:
            await asyncio.gather(_flow(reader, back), _flow(there, writer))
        finally:
            await _closed(back)


def through(url: str, user: str) -> str:
    """Return a proxy's address with a user in it."""
    return url.replace("://", f"://{user}@")


def at_host(url: str) -> str:
    """Return an address on this machine under the name that only the proxy knows."""
    return url.replace("127.0.0.1", HOST)


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(65_536):
        writer.write(received)
        await writer.drain()
    writer.close()


async def _closing(talk: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
    try:
        await talk
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def _host_and_port(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    return host, int(port)
