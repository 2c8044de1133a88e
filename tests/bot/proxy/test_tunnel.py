"""A call through a proxy, over the connections of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from tempogram.bot.proxy.address import parse_proxy
from tempogram.bot.telegram.connections import Connections, Response
from tempogram.engine.model.outcomes import Answer, Failed, Uncertain
from tests.bot.proxy.proxies import HOST, FakeProxy, at_host, through
from tests.bot.telegram.test_connections import FRAMED, Server, call, self_signed, tls_with
from tests.bot.telegram.test_transport import lease, send, transport_to

SCHEMES = pytest.mark.parametrize("scheme", ["http", "socks5"])
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@LOOPS
@SCHEMES
def test_a_call_over_tls_goes_through_a_tunnel_to_a_host_that_the_proxy_looks_up(
    new_loop: Callable[[], asyncio.AbstractEventLoop], scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server, proxy = Server(FRAMED), FakeProxy(wants="me:p@s:s/#?%")

    async def called_twice() -> list[Response]:
        async with server.serve(tls_with(certificate)) as url, proxy.serve(scheme) as proxy_url:
            known = parse_proxy(through(proxy_url, "me:p%40s%3As%2F%23%3F%25"))
            async with Connections(at_host(url), known) as connections:
                return [await call(connections) for _ in range(2)]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        answers = runner.run(called_twice())

    assert answers == [Response(200, b"hi")] * 2
    assert [target.rpartition(":")[0] for target in proxy.targets] == [
        f"CONNECT {HOST}" if scheme == "http" else HOST  # one connection for both
    ]
    assert all(head.startswith("POST /prefix/method HTTP/1.1\r\nHost: telegram.test:") for head in server.heads)
    assert not any("Proxy-Authorization" in head for head in server.heads)


async def test_a_call_without_tls_is_handed_to_an_http_proxy_whole() -> None:
    server, proxy = Server(FRAMED), FakeProxy(wants="me:пароль")

    async with server.serve() as url, proxy.serve("http") as proxy_url:
        known = parse_proxy(through(proxy_url, "me:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C"))
        async with Connections(at_host(url), known) as connections:
            answer = await call(connections)

    assert answer == Response(200, b"hi")
    assert proxy.targets == [f"POST {at_host(url)}/method"]


async def test_a_call_without_tls_goes_through_a_socks_proxy() -> None:
    server, proxy = Server(FRAMED), FakeProxy()

    async with (
        server.serve() as url,
        proxy.serve("socks5") as proxy_url,
        Connections(at_host(url), parse_proxy(proxy_url)) as connections,
    ):
        answer = await call(connections)

    assert answer == Response(200, b"hi")


@asynccontextmanager
async def refused_by(proxy: FakeProxy, scheme: str, url: str) -> AsyncIterator[tuple[str, Answer]]:
    """Send a message through a proxy that refuses; yield the proxy's address and the outcome."""
    async with proxy.serve(scheme) as proxy_url:
        known = parse_proxy(through(proxy_url, "me:canary"))
        async with transport_to(url, proxy=known) as transport:
            yield str(known), await send(transport, lease())


@pytest.mark.parametrize("url", [f"https://{HOST}", f"http://{HOST}:8081"])
async def test_a_proxy_that_wants_another_password_is_a_failure_that_names_it_and_takes_no_place(url: str) -> None:
    async with refused_by(FakeProxy(wants="me:right"), "http", url) as (address, answer):
        reason = f"the proxy {address} refused with HTTP 407; it wants a user and a password, or others"

    assert answer == Answer(Failed(reason), counted_at_ms=None)


@pytest.mark.parametrize(
    ("proxy", "scheme", "reason"),
    [
        (FakeProxy(answer=b"HTTP/1.1 403 No\r\n\r\n"), "http", "refused with HTTP 403"),
        (FakeProxy(answer=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "http", "did not answer in HTTP"),
        (FakeProxy(answer=b"HTTP/1.1 200 O"), "http", "did not answer in HTTP"),
        (FakeProxy(wants="me:right"), "socks5", "refused: Username and password authentication failure"),
        (FakeProxy(answer=b"no"), "socks5", "refused: Connection not allowed by ruleset"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_a_failure_that_names_it_and_takes_no_place(
    proxy: FakeProxy, scheme: str, reason: str
) -> None:
    async with refused_by(proxy, scheme, f"https://{HOST}") as (address, answer):
        pass

    assert answer == Answer(Failed(f"the proxy {address} {reason}"), counted_at_ms=None)


@SCHEMES
@pytest.mark.parametrize("url", [f"https://{HOST}", f"http://{HOST}"])
async def test_a_proxy_that_is_away_is_a_failure_that_names_it_and_takes_no_place(scheme: str, url: str) -> None:
    known = parse_proxy(f"{scheme}://me:canary@127.0.0.1:9")
    async with transport_to(url, proxy=known) as transport:
        answer = await send(transport, lease())

    reason = "the proxy 127.0.0.1:9 cannot be reached (ConnectionRefusedError)"
    assert answer == Answer(Failed(reason), counted_at_ms=None)


@SCHEMES
async def test_a_host_whose_certificate_is_not_trusted_gets_no_byte_through_a_proxy(
    scheme: str, tmp_path: Path
) -> None:
    server, proxy = Server(FRAMED), FakeProxy()

    async with (
        server.serve(tls_with(self_signed(tmp_path))) as url,
        proxy.serve(scheme) as proxy_url,
        transport_to(at_host(url), proxy=parse_proxy(proxy_url)) as transport,
    ):
        answer = await send(transport, lease())

    assert answer == Answer(Failed("SSLCertVerificationError"), counted_at_ms=None)
    assert server.heads == []


@SCHEMES
async def test_a_tunnel_that_breaks_after_the_call_left_is_uncertain(scheme: str) -> None:
    server, proxy = Server(b"", then_closes=True), FakeProxy()

    async with (
        server.serve() as url,
        proxy.serve(scheme) as proxy_url,
        transport_to(at_host(url), proxy=parse_proxy(proxy_url)) as transport,
    ):
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Uncertain)
