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
from aiohappyeyeballs import start_connection
from python_socks.async_.asyncio import Proxy as SocksProxy

from tempogram.bot.proxy.address import Proxy, authority

NEXT_ADDRESS_S = 0.25
"""How long one address of a host may take before the next is tried beside it: https://www.rfc-editor.org/rfc/rfc8305"""

HEAD_BYTES_MAX = 64 << 10
"""Size limit of the head of an answer to CONNECT. Untuned: real ones have some hundred bytes."""

WANTS_USER = 407

AWAY = (
    OSError,
    python_socks.ProxyConnectionError,
    python_socks.ProxyTimeoutError,
    aiohttp_socks.ProxyConnectionError,
    aiohttp_socks.ProxyTimeoutError,
)

_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


class ProxyFailed(aiohttp.ClientOSError):
    """The proxy is away, or refuses: nothing has reached Telegram. The text names it, and holds no password."""

    def __str__(self) -> str:
        return str(self.args[0])


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


async def connect_tcp(host: str, port: int) -> socket.socket:
    """Connect to the first of a host's addresses that answers."""
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S)


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


def refusal(proxy: Proxy, status: int) -> ProxyFailed:
    wants = "; it wants a user and a password, or others" if status == WANTS_USER else ""
    return ProxyFailed(f"the proxy {proxy} refused with HTTP {status}{wants}")


def away(proxy: Proxy, error: BaseException) -> ProxyFailed:
    while error.__cause__ is not None:
        error = error.__cause__
    return ProxyFailed(f"the proxy {proxy} cannot be reached ({type(error).__name__})")


def why_unanswered(error: BaseException) -> str:
    """Return why a call got no answer: of most errors the name, as their text may hold the address with the token."""
    for each in (error, error.__cause__):
        if isinstance(each, ProxyFailed):
            return str(each)
    return type(error).__name__


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
