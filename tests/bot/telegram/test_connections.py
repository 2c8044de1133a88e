"""HTTP connections, to servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tempogram.bot.telegram import connections as module
from tempogram.bot.telegram.connections import BrokenAnswer, Connections, Response
from tempogram.engine.model.errors import SettingsError

NAME = "telegram.test"
NAMES = x509.DNSName(NAME), x509.IPAddress(ip_address("127.0.0.1"))
FRAMED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers every call with the same bytes, and notes calls and connections."""

    def __init__(self, answer: bytes, *, then_closes: bool = False) -> None:
        self.answer = answer
        self.then_closes = then_closes
        self.opened = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.ended = asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=tls)
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{'https' if tls else 'http'}://{host}:{port}/prefix"
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = next(line for line in head.split("\r\n") if line.startswith("Content-Length"))
                self.bodies.append(await reader.readexactly(int(length.partition(":")[2])))
                writer.write(self.answer)
                if self.then_closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.ended.set()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def call(connections: Connections, body: bytes = b"{}") -> Response:
    async with connections.borrow() as connection:
        return await connection.post("/method", "application/json", body)


async def test_a_call_arrives_whole_and_its_answer_comes_back() -> None:
    server = Server(FRAMED)

    async with server.serve() as url, Connections(url) as connections:
        answer = await call(connections, b'{"text":"hello"}')

    assert answer == Response(200, b"hi")
    assert server.heads[0].startswith("POST /prefix/method HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Content-Type: application/json\r\n" in server.heads[0]
    assert server.bodies == [b'{"text":"hello"}']


async def test_calls_one_after_another_share_a_connection_and_calls_at_once_do_not() -> None:
    server = Server(FRAMED)

    async with server.serve() as url, Connections(url) as connections:
        await call(connections)
        await call(connections)
        opened_one_after_another = server.opened
        await asyncio.gather(call(connections), call(connections))

    assert opened_one_after_another == 1
    assert server.opened == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + FRAMED,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
    ],
    ids=["after a word in between", "in chunks"],
)
async def test_an_answer_is_read_with_any_http_framing(answer: bytes) -> None:
    server = Server(answer)

    async with server.serve() as url, Connections(url) as connections:
        answers = [await call(connections) for _ in range(2)]

    assert answers == [Response(200, b"hi")] * 2
    assert server.opened == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\nhi", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"],
    ids=["ends with its connection", "says that it closes"],
)
async def test_a_server_that_closes_after_its_answer_is_answered_on_a_new_connection(answer: bytes) -> None:
    server = Server(answer, then_closes=True)

    async with server.serve() as url, Connections(url) as connections:
        answers = [await call(connections) for _ in range(2)]

    assert answers == [Response(200, b"hi")] * 2
    assert server.opened == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nhi",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "another protocol"],
)
async def test_a_broken_answer_is_an_error_and_its_connection_is_not_used_again(answer: bytes) -> None:
    server = Server(answer, then_closes=True)

    async with server.serve() as url, Connections(url) as connections:
        with pytest.raises(OSError):  # noqa: PT011 - whichever it is
            await call(connections)
        server.answer = FRAMED
        after_it = await call(connections)

    assert after_it == Response(200, b"hi")
    assert server.opened == 2


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_BYTES_MAX", 100)
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101)

    async with server.serve() as url, Connections(url) as connections:
        with pytest.raises(BrokenAnswer, match="more than 100 bytes"):
            await call(connections)


async def test_a_cancelled_call_closes_its_connection() -> None:
    server = Server(b"")

    async with server.serve() as url, Connections(url) as connections:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await call(connections)
        server.answer = FRAMED
        await call(connections)

    assert server.opened == 2


async def test_a_second_answer_to_one_call_is_not_taken_for_that_of_the_next_call() -> None:
    server = Server(FRAMED + FRAMED.replace(b"hi", b"no"))

    async with server.serve() as url, Connections(url) as connections:
        answers = [await call(connections) for _ in range(2)]

    assert answers == [Response(200, b"hi")] * 2
    assert server.opened == 2


async def test_a_connection_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S_MAX", 0.0)
    server = Server(FRAMED)

    async with server.serve() as url, Connections(url) as connections:
        await call(connections)
        await call(connections)

    assert server.opened == 2


async def test_idle_connections_are_closed_with_the_pool() -> None:
    server = Server(FRAMED)

    async with server.serve() as url:
        async with Connections(url) as connections:
            await call(connections)
        await asyncio.wait_for(server.ended.wait(), 5)


async def test_a_host_with_a_trusted_certificate_is_called_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(FRAMED)

    async with server.serve(tls_with(certificate)) as url, Connections(url) as connections:
        answer = await call(connections)

    assert answer == Response(200, b"hi")


async def test_a_host_with_an_untrusted_certificate_gets_no_byte(tmp_path: Path) -> None:
    server = Server(FRAMED)

    async with server.serve(tls_with(self_signed(tmp_path))) as url, Connections(url) as connections:
        with pytest.raises(ssl.SSLCertVerificationError):
            await call(connections)

    assert server.heads == []


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_address_that_never_answers_does_not_delay_the_next_one(
    new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a host has two whose IPv6 is broken on the way."""
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def reached() -> Response:
        server, loop = Server(FRAMED), asyncio.get_running_loop()
        with black_hole() as nowhere:
            async with server.serve(tls_with(certificate)) as url:
                resolve = loop.getaddrinfo

                async def both(host: str, port: int, **options: Any) -> list[Any]:
                    if host != NAME:
                        return await resolve(host, port, **options)
                    return [*await resolve(*nowhere, **options), *await resolve("127.0.0.1", port, **options)]

                monkeypatch.setattr(loop, "getaddrinfo", both)
                async with Connections(url.replace("127.0.0.1", NAME)) as connections, asyncio.timeout(5):
                    return await call(connections)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(reached()) == Response(200, b"hi")


@contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """Yield an address at which no connection is ever accepted or refused: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.mark.parametrize("url", ["", "http://", "http://[", "https://host:port", "http://host/a b", "http://h\r\n.x"])
def test_an_invalid_address_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^TELEGRAM_API_URL makes no sense: it is not an address"):
        Connections(url)


def self_signed(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 under both its names, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def tls_with(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
