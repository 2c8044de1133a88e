"""The connections of clients: no more than a number, and a newcomer is served all the same.

A connection *waits* while it is the client's turn: a head or a body is not complete, an answer is not read, or the next
request has not begun. Of those that wait, one is closed for a newcomer. One whose request is worked on never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Protocol

import structlog

log = structlog.get_logger()

LOGGED_EVERY_S = 60.0
"""How often the log says that there are too many; the first time at once."""


class ClientConnection(Protocol):
    """One of them."""

    def give_way(self) -> None:
        """Close it at once, for a newcomer."""


class ClientConnections:
    """Knows which connections wait, of which client, and until when.

    Closed first is, of the client that has most of them waiting, the one that would have to end first anyway. A client
    is an address, so that a crowd from one costs the others nothing; behind a proxy all are one client.

    Args:
        connections_max: So many are open, besides those that are being refused.
        clock: Seconds that never run backwards; None: the running loop's.
    """

    def __init__(self, connections_max: int, clock: Callable[[], float] | None = None) -> None:
        self._connections_max = connections_max
        self._clock = clock
        self._open: dict[ClientConnection, str] = {}  # and its client
        self._waiting: dict[str, dict[ClientConnection, float]] = {}  # of each client, and until when
        self._closed = self._refused = 0  # since the last line
        self._log_at_s = 0.0

    def add(self, connection: ClientConnection, host: str) -> bool:
        """Add a newcomer; False if each of the others is worked on, and it is to be refused.

        Cost: O(1); O(connections) for one that comes when there are too many.
        """
        has_room = len(self._open) < self._connections_max or self._make_room()
        self._open[connection] = client_of(host)
        return has_room

    def remove(self, connection: ClientConnection) -> None:
        """Forget one that is closed."""
        self.work(connection)
        self._open.pop(connection, None)

    def wait(self, connection: ClientConnection, seconds: float) -> None:
        """Note that it is the client's turn, for this long."""
        if (client := self._open.get(connection)) is not None:
            self._waiting.setdefault(client, {})[connection] = self._now_s() + seconds

    def work(self, connection: ClientConnection) -> None:
        """Note that it is our turn."""
        client = self._open.get(connection)
        if client is None or (waiting := self._waiting.get(client)) is None:
            return
        waiting.pop(connection, None)
        if not waiting:
            del self._waiting[client]

    def _make_room(self) -> bool:
        if not self._waiting:
            self._refused += 1
            self._log()
            return False
        waiting = max(self._waiting.values(), key=len)
        connection = min(waiting, key=waiting.__getitem__)
        self.remove(connection)
        connection.give_way()
        self._closed += 1
        self._log()
        return True

    def _log(self) -> None:
        now_s = self._now_s()
        if now_s >= self._log_at_s:
            log.warning("connections_full", open=len(self._open), closed=self._closed, refused=self._refused)
            self._log_at_s, self._closed, self._refused = now_s + LOGGED_EVERY_S, 0, 0

    def _now_s(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()


def client_of(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or a network of IPv6, of which one machine has all.

    >>> [client_of(host) for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1")]
    ['192.0.2.1', '192.0.2.1', '2001:db8:0:0']
    """
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":")[:4]))
