"""Sessions of aiohttp and aiogram that reach Telegram through the proxy, if there is one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiogram.client.session.aiohttp import AiohttpSession
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp_socks import ProxyConnector
from python_socks import ProxyType
from yarl import URL

from tempogram.bot.proxy.address import WANTS_USER, Proxy
from tempogram.bot.proxy.errors import ProxyFailed, refusal
from tempogram.bot.proxy.tunnel import failures

CONNECTIONS_MAX = 100
"""Uncounted calls under way at once; aiogram's own default."""


def session_through(proxy: Proxy | None, *, limit: int, **options: Any) -> aiohttp.ClientSession:
    """Return a session that reaches Telegram through the proxy; ``limit`` is how many connections, 0 any number."""
    if proxy is None:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit), **options)

    async def check(response: aiohttp.ClientResponse) -> None:
        if response.status == WANTS_USER:  # the proxy's own answer, to a call that it was given as it is
            response.release()
            raise _Failed(*refusal(proxy, response.status).args)

    connector = (_Socks if proxy.scheme == "socks5" else _Http)(proxy, limit=limit)
    return aiohttp.ClientSession(connector=connector, raise_for_status=check, **options)


class DirectSession(AiohttpSession):
    """aiogram's session, through the proxy if there is one."""

    def __init__(self, proxy: Proxy | None, **options: Any) -> None:
        super().__init__(**options)
        self._through = proxy

    async def create_session(self) -> aiohttp.ClientSession:
        if self._through is None:
            return await super().create_session()
        if self._session is None or self._session.closed:
            self._session = session_through(self._through, limit=CONNECTIONS_MAX)
        return self._session

    async def close(self) -> None:
        """Close without aiogram's pause of 250 ms, for connections that aiohttp now waits for itself."""
        if self._session is not None:
            await self._session.close()


class _Failed(ProxyFailed, aiohttp.ClientOSError):
    """The same for those who expect errors of aiohttp."""


@contextmanager
def _failures(proxy: Proxy) -> Iterator[None]:
    try:
        with failures(proxy):
            yield
    except ProxyFailed as error:
        raise _Failed(*error.args) from None


class _Http(aiohttp.TCPConnector):
    """Its requests bear the password, not its address: that stands in errors."""

    def __init__(self, proxy: Proxy, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._proxy = proxy

    async def connect(self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        req.update_proxy(URL(f"http://{self._proxy}"), None, self._proxy.headers)
        if not req.is_ssl():
            req.headers.update(self._proxy.headers)
        with _failures(self._proxy):
            return await super().connect(req, traces, timeout)


class _Socks(ProxyConnector):
    def __init__(self, proxy: Proxy, *, limit: int) -> None:
        super().__init__(proxy.host, proxy.port, ProxyType.SOCKS5, proxy.user, proxy.password, rdns=True, limit=limit)
        self._proxy = proxy

    async def connect(self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        try:
            with _failures(self._proxy):
                return await super().connect(req, traces, timeout)
        except ssl.SSLError as error:
            raise aiohttp.ClientOSError(error.errno, type(error).__name__) from error
