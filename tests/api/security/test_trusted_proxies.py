"""A user's name in a header counts on a connection of a trusted proxy, and on no other."""

from __future__ import annotations

from ipaddress import ip_network

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tempogram.api.security.trusted_proxies import TrustedProxies, behind_proxies

HEADER = "X-Forwarded-User"


def served(*proxies: str) -> Starlette:
    """Return an app as the server serves it, that answers which user it sees and from where."""
    trusted = TrustedProxies(HEADER, [ip_network(each) for each in proxies])

    async def caller(request: Request) -> PlainTextResponse:
        assert request.client is not None
        return PlainTextResponse(f"{trusted.user_of(request)} {request.client.host} {request.url.scheme}")

    return Starlette(routes=[Route("/", caller)])


async def seen(app: Starlette, peer: str, *, forwarded_by: str = "127.0.0.1", **headers: str) -> str:
    transport = httpx.ASGITransport(app=behind_proxies(app, forwarded_by), client=(peer, 1_024))
    async with httpx.AsyncClient(transport=transport, base_url="http://tempogram") as client:
        return (await client.get("/", headers={name.replace("_", "-"): text for name, text in headers.items()})).text


@pytest.mark.parametrize(
    ("peer", "user"),
    [
        ("10.0.0.7", "ada"),
        ("::ffff:10.0.0.7", "ada"),
        ("10.0.0.8", "None"),
        ("192.168.3.200", "ada"),
        ("192.168.4.1", "None"),
        ("2001:db8::1", "ada"),
        ("2001:db9::1", "None"),
        ("testclient", "None"),
    ],
)
async def test_the_header_counts_from_the_networks_that_were_named(peer: str, user: str) -> None:
    app = served("10.0.0.7", "192.168.3.0/24", "2001:db8::/32")

    assert (await seen(app, peer, X_Forwarded_User="ada")).split()[0] == user


async def test_a_client_does_not_become_the_proxy_by_saying_that_it_was_forwarded() -> None:
    app = served("10.0.0.7")

    spoofed = await seen(app, "203.0.113.9", forwarded_by="*", X_Forwarded_For="10.0.0.7", X_Forwarded_User="ada")

    assert spoofed.split()[:2] == ["None", "10.0.0.7"]


async def test_a_proxy_is_known_by_its_own_address_whatever_client_it_forwards() -> None:
    app = served("127.0.0.1")

    assert (
        await seen(app, "127.0.0.1", X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https", X_Forwarded_User="ada")
        == "ada 203.0.113.9 https"
    )
