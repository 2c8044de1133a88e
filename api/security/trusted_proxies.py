"""Proxies that have logged a person in and name that user in a header: the cheap single sign-on.

The header counts only on a connection that comes from one of these proxies, whatever ``X-Forwarded-For`` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

Network = IPv4Network | IPv6Network

PEER = "tempogram.peer"


class TrustedProxies:
    """Reads the user's name from a header of these proxies, and of no other client.

    Args:
        header: Such as ``X-Forwarded-User``.
        networks: Where the proxies are.
    """

    def __init__(self, header: str, networks: Sequence[Network]) -> None:
        self._header = header
        self._networks = networks

    def user_of(self, request: Request) -> str | None:
        """Return the name that a proxy gives; None: it gives none, or two, or this is no proxy of ours."""
        names = request.headers.getlist(self._header)
        return names[0] if len(names) == 1 and names[0] and self._is_ours(request.scope) else None

    def _is_ours(self, scope: Scope) -> bool:
        peer = scope.get("extensions", {}).get(PEER, scope.get("client"))
        if peer is None:
            return False
        try:
            address = ip_address(peer[0].partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class NotedPeer:
    """Keeps from where a connection comes, before a forwarding header takes the place of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["extensions"] = {**scope.get("extensions", {}), PEER: scope.get("client")}
        await self._app(scope, receive, send)


def behind_proxies(app: ASGIApp, forwarded_by: str) -> ASGIApp:
    """Take the client's address and scheme from what these proxies say, and keep from where the connection comes.

    uvicorn would do the first outermost, where nothing sees the second any more.

    Args:
        app: What is served.
        forwarded_by: Addresses and networks, separated by commas, as uvicorn has them.
    """
    return NotedPeer(cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), trusted_hosts=forwarded_by)))
