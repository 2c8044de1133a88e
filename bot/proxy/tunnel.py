"""A connection through the proxy, and what may go wrong with it.

HTTP's is our own, as python-socks takes what it reads first for the whole answer to CONNECT; SOCKS5 is python-socks'.
Source: https://www.rfc-editor.org/rfc/rfc9110#name-connect, https://www.rfc-editor.org/rfc/rfc1928
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import aiohttp_socks
import python_socks
from python_socks.async_.asyncio import Proxy as SocksProxy

from tempogram.bot.proxy.address import Proxy, authority
from tempogram.bot.proxy.errors import ProxyFailed, away, refusal
from tempogram.bot.proxy.tcp import connect_tcp

HEAD_BYTES_MAX = 64 << 10
"""Size limit of the head of an answer to CONNECT. Untuned: real ones have some hundred bytes."""

AWAY = (
    OSError,
    python_socks.ProxyConnectionError,
    python_socks.ProxyTimeoutError,
    aiohttp_socks.ProxyConnectionError,
    aiohttp_socks.ProxyTimeoutError,
)

_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Open a connection to a host.

    Raises:
        ProxyFailed: There is none; the host got no byte.
    """
    with failures(proxy):
        if proxy.scheme == "socks5":
            kind = python_socks.ProxyType.SOCKS5
            through = SocksProxy(kind, proxy.host, proxy.port, proxy.user, proxy.password, rdns=True)
            return await through.connect(host, port)
        connection = await connect_tcp(proxy.host, proxy.port)
        try:
            await _ask_for_tunnel(proxy, connection, authority(host, port))
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def failures(proxy: Proxy) -> Iterator[None]:
    """Raise ``ProxyFailed`` for each error that is the proxy's, until the block ends."""
    try:
        yield
    except ProxyFailed:
        raise
    except (python_socks.ProxyError, aiohttp_socks.ProxyError) as error:
        raise ProxyFailed(f"the proxy {proxy} refused: {error}") from None
    except aiohttp.ClientHttpProxyError as error:
        raise refusal(proxy, error.status) from None
    except aiohttp.ClientProxyConnectionError as error:
        raise away(proxy, error.os_error) from None
    except (aiohttp.ClientError, ssl.SSLError):
        raise  # the host's own
    except AWAY as error:
        raise away(proxy, error) from None


async def _ask_for_tunnel(proxy: Proxy, connection: socket.socket, target: str) -> None:
    """Make the request CONNECT. Nothing follows its answer: the host does not speak first."""
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    await loop.sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES_MAX:
        received = await loop.sock_recv(connection, HEAD_BYTES_MAX)
        if not received:
            break
        head += received
    status = _STATUS.match(head)
    if status is None or b"\r\n\r\n" not in head:
        raise ProxyFailed(f"the proxy {proxy} did not answer in HTTP")
    if not 200 <= int(status[1]) < 300:
        raise refusal(proxy, int(status[1]))
