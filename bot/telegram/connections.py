"""HTTP/1.1 connections to the Bot API: kept open, one call at a time on each.

A general HTTP client took the largest part of the engine's CPU, most of it for features that the Bot API does not use:
redirects, cookies, compression. Decision 0011 has the figures.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import SplitResult, urlsplit

from httptools import HttpParserError, HttpResponseParser

from tempogram.bot.proxy.address import WANTS_USER, Proxy
from tempogram.bot.proxy.errors import refusal
from tempogram.bot.proxy.tcp import connect_tcp
from tempogram.bot.telegram.call_body import Form
from tempogram.engine.model.errors import SettingsError

IDLE_S_MAX = 15.0
"""How long an idle connection is kept; untuned: a proxy may close it sooner without notice, and a new one is cheap."""

BODY_BYTES_MAX = 10 << 20
"""Size limit of an answer. Telegram's largest ones are a few KB."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer.

    Attributes:
        retry_after: The header of this name; empty if there is none.
        date: The header of this name, by the clock of the host that answered.
    """

    status: int
    body: bytes
    retry_after: bytes = b""
    date: bytes = b""


NO_SPACES = re.compile(r"[!-~]+")

FRAMES = (b"content-length", b"transfer-encoding")
"""An answer with neither ends with its connection."""


class BrokenAnswer(OSError):
    """The answer is not HTTP, or was cut off."""


class Connections:
    """All connections to one address.

    The pool itself has no limit: a worker never holds more leases than it may have connections.

    Args:
        url: ``https://host[:port][/path]``; a path is put in front of each call's.
        proxy: Through which the host is reached; None: directly.

    Raises:
        SettingsError: It is not such an address.
    """

    def __init__(self, url: str, proxy: Proxy | None = None) -> None:
        parts, self._host, port = parse_url(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = port or (443 if self._tls else 80)
        self._proxy = proxy
        self._reader = proxy if proxy is not None and proxy.takes_whole_calls(parts.scheme) else None
        host = parts.netloc.rpartition("@")[2]
        to_proxy = {} if self._reader is None else self._reader.headers
        origin = "" if self._reader is None else f"http://{host}"
        headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": host, **to_proxy}.items())
        self._head = f"POST {origin}{parts.path.rstrip('/')}", f"HTTP/1.1\r\n{headers}"
        self._idle: deque[Connection] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Connection]:
        """Borrow an idle connection, or open a new one.

        Raises:
            OSError, UnicodeError: None could be opened; no byte was sent.
        """
        connection = self._idle_connection() or await self._open()
        try:
            yield connection
        except BaseException:
            connection.close()  # an answer may still arrive on it
            raise
        if connection.is_reusable:
            connection.idle_since_s = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_connection(self) -> Connection | None:
        """Return the connection used last; close those idle for too long."""
        fresh_s = time.monotonic() - IDLE_S_MAX
        while self._idle and self._idle[0].idle_since_s < fresh_s:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _open(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(*self._head, self._reader),
            sock=await self._open_socket(),
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        return connection

    async def _open_socket(self) -> socket.socket:
        if self._proxy is None:
            return await connect_tcp(self._host, self._port)
        from tempogram.bot.proxy.tunnel import failures, open_tunnel  # not in a process without a proxy

        if self._reader is None:
            return await open_tunnel(self._proxy, self._host, self._port)
        with failures(self._reader):
            return await connect_tcp(self._reader.host, self._reader.port)


def parse_url(url: str) -> tuple[SplitResult, str, int | None]:
    """Return the parts of a URL, its host and its port; raises as ``Connections`` does."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and NO_SPACES.fullmatch(url):
            return parts, parts.hostname, parts.port
    raise SettingsError("TELEGRAM_API_URL makes no sense: it is not an address; write it like https://host:port")


class Connection(asyncio.Protocol):
    """One connection. The parser calls the methods ``on_…``.

    Args:
        reader: The proxy that is given the calls as they are, and may refuse them itself.
    """

    def __init__(self, before_path: str, after_path: str, reader: Proxy | None) -> None:
        self.idle_since_s = 0.0
        self.is_reusable = True
        self._before_path = before_path
        self._after_path = after_path
        self._reader = reader
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._writable: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # to write more
        self._body = bytearray()
        self._has_length = False
        self._retry_after = self._date = b""
        self._is_framed = True  # otherwise the answer ends with the connection

    async def post(self, path: str, content_type: str, body: bytes) -> Response:
        """Make one call. It is written before the first await.

        Raises:
            OSError: No answer came, or only a part of one.
            ProxyFailed: The call went no farther than the proxy.
        """
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{self._before_path}{path} {self._after_path}Content-Type: {content_type}\r\n"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await self._answer

    async def post_form(self, path: str, form: Form) -> Response:
        """Make one call with files, each written while it is read. The first byte is written before the first await.

        Raises:
            OSError: No answer came, or only a part of one.
            LedgerError: The files could not be read to their end.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = answer
        head = f"{self._before_path}{path} {self._after_path}Content-Type: {form.content_type}\r\n"
        self._transport.write(f"{head}Content-Length: {form.length}\r\n\r\n".encode())
        try:
            async for chunk in form.chunks():
                self._transport.write(chunk)
                either: set[asyncio.Future[Any]] = {self._writable, answer}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():  # refused before it was read, or broken
                    self._abort()
                    break
        except BaseException:
            answer.cancel()
            self._abort()
            raise
        return await answer

    def close(self) -> None:
        self.is_reusable = False
        self._transport.close()

    def _abort(self) -> None:
        """Close at once, without sending what is still buffered."""
        self.is_reusable = False
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._writable.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(BrokenAnswer(type(error).__name__))

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and not self._is_framed:
            self.on_message_complete()
        self._fail(error or BrokenAnswer("the connection was closed"))

    def on_message_begin(self) -> None:
        self._body.clear()
        self._has_length = False
        self._retry_after = self._date = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._has_length |= name in FRAMES
        if name == b"date":
            self._date = value
        elif name == b"retry-after":
            self._retry_after = value

    def on_headers_complete(self) -> None:
        self._is_framed = self._has_length

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self._fail(BrokenAnswer(f"the answer has more than {BODY_BYTES_MAX} bytes"))

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim response
            return
        self._is_framed = True
        answer, self._answer = self._answer, None
        if answer is None:  # an answer without a call
            self.is_reusable = False
        elif not answer.done():
            self.is_reusable &= self._parser.should_keep_alive()
            if self._reader is not None and status == WANTS_USER:
                answer.set_exception(refusal(self._reader, status))
                return
            answer.set_result(Response(status, bytes(self._body), self._retry_after, self._date))

    def _fail(self, error: Exception) -> None:
        self.is_reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
