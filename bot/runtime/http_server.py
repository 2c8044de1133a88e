"""The HTTP server of the API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import uvicorn

from tempogram.api.monitoring_app import App
from tempogram.api.security.trusted_proxies import behind_proxies
from tempogram.bot.config.settings import url_of
from tempogram.bot.runtime.client_connections import ClientConnections
from tempogram.bot.runtime.descriptors import CONNECTIONS_MAX
from tempogram.bot.runtime.http_protocol import HttpProtocol
from tempogram.engine.model.errors import SettingsError

GRACE_S = 5
"""How long a request that waits for its message may delay the shutdown."""

LAST_WORDS_S = 0.5
"""How long the answers of requests that were cut off then have to be read. untuned: enough to send them."""

KEEP_ALIVE_S = 75
"""How long an idle connection stays open: longer than clients keep theirs. A call is lost that comes just when its
connection is closed, as after a 429 that says 5 s where this is 5 s. untuned: as web servers have it."""


class Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before our own shutdown is done."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is worked on, within ``GRACE_S``; then cut off what is left, as a half-sent body."""
        cutting_off = asyncio.create_task(self._cut_off())
        try:
            await super().shutdown(sockets)
        finally:
            cutting_off.cancel()

    async def _cut_off(self) -> None:
        await asyncio.sleep(GRACE_S)
        connections = cast("set[HttpProtocol]", self.server_state.connections)
        for connection in tuple(connections):
            connection.abort_unless_unanswered()
        await asyncio.sleep(LAST_WORDS_S / 5)  # until the applications of these know that their clients are gone
        for task in tuple(self.server_state.tasks):
            task.cancel()  # ``UnhandledErrors`` answers it
        await asyncio.sleep(LAST_WORDS_S)
        for connection in tuple(connections):
            connection.transport.abort()

    def end(self) -> None:
        self.should_exit = True


def server(app: App, *, connections_max: int = CONNECTIONS_MAX) -> Server:
    """Return a server without an access log, because the path of a webhook holds a token.

    Args:
        app: What it serves.
        connections_max: Of clients, at once.
    """
    protocol: Any = partial(HttpProtocol, clients=ClientConnections(connections_max))
    config = uvicorn.Config(
        behind_proxies(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")),
        proxy_headers=False,
        log_config=None,
        access_log=False,
        http=protocol,
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S + 2,  # nothing is left then
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return Server(config)


def listening(host: str, port: int) -> socket.socket:
    """Listen on an address; ``::`` means every IPv4 and IPv6 address, where the machine has both.

    Raises:
        SettingsError: The address is in use, or not one of this machine.
    """
    try:
        if ":" not in host:
            return socket.create_server((host, port), backlog=2_048)
        is_both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), backlog=2_048, family=socket.AF_INET6, dualstack_ipv6=is_both)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); set HOST and PORT to a free address"
        ) from None


def address_of(listener: socket.socket) -> str:
    """Return the listener's address as reached from this machine."""
    return url_of(*listener.getsockname()[:2])
