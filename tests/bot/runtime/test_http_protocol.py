"""What a client sends besides a body has a bound: in bytes, in lines and in time; and so have connections."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tempogram.api.http import body_reader
from tempogram.bot.runtime import http_protocol, http_server
from tempogram.bot.runtime.http_protocol import HEAD_BYTES_MAX, HEAD_LINES_MAX, PIECE_BYTES, HttpProtocol
from tempogram.bot.runtime.http_server import Server, listening, server
from tests.api.fakes import ADMIN_TOKEN, BOT_TOKEN, World

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n"
HALF_SENT = f"POST /webhook/telegram/{BOT_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[".encode()
LARGE = f"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode()
BATCH = b"POST /messages/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection:
    """A client's connection; ``answer`` is the status and the body of the next answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def send_without_end(self, content: bytes) -> None:
        async with asyncio.timeout(10):
            while True:
                await self.send(content)

    async def answer(self) -> tuple[int, str]:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split()[1]) for line in head.lower().splitlines() if line.startswith("content-length"))
        return int(head.split()[1]), (await self.reader.readexactly(length)).decode()

    async def refusal(self) -> tuple[int, str]:
        """Return an answer's status and sentence; nothing must follow it."""
        status, body = await self.answer()
        assert await self.is_closed()
        return status, json.loads(body)["error"]["message"]

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def is_ended(self) -> bool:
        async with asyncio.timeout(5):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                return True
        return True

    def close(self) -> None:
        self._writer.close()


class Served:
    """A server that answers, and the connections to it."""

    def __init__(self, port: int, server: Server) -> None:
        self.port = port
        self.server = server
        self._connections: list[Connection] = []

    async def connect(self, said: bytes = b"", *, reads: bool = True) -> Connection:
        connecting = socket.socket()
        if not reads:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connecting.setblocking(False)  # noqa: FBT003 - the library's own
        await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", self.port))
        limit = 1 << 16 if reads else 1
        connection = Connection(*await asyncio.open_connection(sock=connecting, limit=limit))
        self._connections.append(connection)
        await connection.send(said)
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds for a server that tells nothing."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(connections_max: int = 100) -> AsyncIterator[Served]:
    app = World().app
    running, listener = server(app, connections_max=connections_max), listening("127.0.0.1", 0)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    await running.ready.wait()
    served = Served(listener.getsockname()[1], running)
    try:
        yield served
    finally:
        served.close()
        running.end()
        await task


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEALTH + b"X-A: ", b"a"),
        (HEALTH, b"X-A: a\r\n"),
        (HEALTH, b"a"),
        (b"GET /", b"a"),
        (b"", b"\r\n"),
    ],
    ids=["a value", "lines", "a name", "a request line", "empty lines"],
)
async def test_a_head_without_end_is_refused_and_no_more_of_it_is_read(
    served: Served, start: bytes, more: bytes
) -> None:
    """One such client left 8 sends in 41 s where 227 in 8 s went before, and took memory without bound."""
    connection = await served.connect()
    await connection.send(start + more * (HEAD_BYTES_MAX // len(more) + 1))

    status, sentence = await connection.refusal()

    assert status == 431
    assert sentence.startswith("the head of a request must not exceed")


async def test_a_refused_client_that_goes_on_sending_is_cut_off(served: Served) -> None:
    connection = await served.connect()

    await connection.send(HEALTH + b"X-A: ")

    with pytest.raises(ConnectionError):
        await connection.send_without_end(b"a" * (64 << 10))


async def test_a_head_that_comes_byte_by_byte_is_read_up_to_the_bound(served: Served) -> None:
    connection = await served.connect()
    await connection.send(HEALTH + b"X-A: ")
    for _ in range(50):
        await connection.send(b"a")
        await asyncio.sleep(0)
    await connection.send(b"\r\n\r\n")

    assert (await connection.answer())[0] == 200


@pytest.mark.parametrize(("lines", "status"), [(HEAD_LINES_MAX, 200), (HEAD_LINES_MAX + 1, 431)])
async def test_a_head_has_a_bounded_number_of_lines(served: Served, lines: int, status: int) -> None:
    connection = await served.connect()
    others = lines - 1

    await connection.send(HEALTH + b"X-A: a\r\n" * others + b"\r\n")

    assert (await connection.answer())[0] == status


async def test_a_large_head_within_the_bound_is_taken_and_another_request_on_its_connection(served: Served) -> None:
    connection = await served.connect()
    large = HEALTH + b"X-A: " + b"a" * (HEAD_BYTES_MAX - PIECE_BYTES) + b"\r\n\r\n"

    await connection.send(large)
    first = await connection.answer()
    await connection.send(large)

    assert [first[0], (await connection.answer())[0]] == [200, 200]


async def test_many_requests_on_one_connection_are_no_long_head(served: Served) -> None:
    connection = await served.connect()
    request = HEALTH + b"X-A: " + b"a" * 1_000 + b"\r\n\r\n"
    statuses = []

    for _ in range(3):
        await connection.send(request * 20)
        statuses += [(await connection.answer())[0] for _ in range(20)]

    assert statuses == [200] * 60


async def test_a_large_body_is_no_long_head(served: Served) -> None:
    connection = await served.connect()
    body = json.dumps([{"bot": "42", "chat_id": 5, "text": "x" * 1_000}] * 200).encode()
    head = b"POST /messages/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)

    await connection.send(head + body)

    assert (await connection.answer())[0] == 401


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"a" * (2 * HEAD_BYTES_MAX), b"0\r\n" + b"X-A: a\r\n" * HEAD_LINES_MAX + b"X-A: " + b"a" * HEAD_BYTES_MAX],
    ids=["a chunk's extension", "trailers"],
)
async def test_what_a_chunked_body_has_besides_its_content_is_bounded(served: Served, endless: bytes) -> None:
    connection = await served.connect()
    await connection.send(BATCH + b"1\r\n[\r\n")

    with pytest.raises(ConnectionError):
        await connection.send_without_end(endless)


@pytest.mark.parametrize("start", [b"", HEALTH, b"\r\n", HEALTH + b"\r\n" + HEALTH])
async def test_a_head_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.05)
    async with serving() as served:
        connection = await served.connect()
        await connection.send(start)
        if start.count(HEALTH) == 2:
            assert (await connection.answer())[0] == 200

        assert await connection.refusal() == (408, "the head of a request must be there within 0.05 s")


async def test_a_body_that_trickles_on_after_its_request_was_answered_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.05)
    async with serving() as served:
        connection = await served.connect()
        await connection.send(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        answered = await connection.answer()
        await connection.send(b"[")

        assert answered[0] == 401
        assert await connection.is_closed()


async def test_a_connection_that_rests_between_two_requests_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.05)
    async with serving() as served:
        connection = await served.connect()
        await connection.send(HEALTH + b"\r\n")
        first = await connection.answer()
        await asyncio.sleep(0.15)
        await connection.send(HEALTH + b"\r\n")

        assert [first[0], (await connection.answer())[0]] == [200, 200]


async def test_what_is_not_http_is_refused_in_one_sentence(served: Served) -> None:
    connection = await served.connect()

    await connection.send(b"\x16\x03\x01 this is TLS\r\n\r\n")

    assert await connection.refusal() == (400, "this is not an HTTP request")


async def test_a_client_that_offers_another_protocol_is_answered_in_this_one_and_its_body_is_read(
    served: Served,
) -> None:
    body = b'{"bot": "42", "chat_id": 7, "text": "hello"}'
    connection = await served.connect(  # as Java's HttpClient makes its first request
        b"POST /messages HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (ADMIN_TOKEN.encode(), len(body), body)
    )

    assert (await connection.answer())[0] == 202


async def test_a_client_that_pipelines_has_the_time_of_a_head_for_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each read ended one head and began another: the first one's time went on, and a quick client got a 408."""
    timers: list[asyncio.TimerHandle] = []
    start = HttpProtocol._start_head_timer

    def start_and_note(protocol: HttpProtocol) -> None:
        start(protocol)
        if protocol._head_timer is not None and protocol._head_timer not in timers:
            timers.append(protocol._head_timer)

    monkeypatch.setattr(HttpProtocol, "_start_head_timer", start_and_note)
    async with serving() as served:
        connection = await served.connect()
        await connection.send(HEALTH)
        for _ in range(3):
            await connection.send(b"\r\n" + HEALTH)
            assert (await connection.answer())[0] == 200

        assert [timer.cancelled() for timer in timers[-3:]] == [True, True, False]
        assert len(timers) == 4


@pytest.mark.parametrize(
    "said", [b"", b"GET /hea", HALF_SENT, HEALTH + b"\r\n"], ids=["idle", "head", "body", "served"]
)
async def test_a_newcomer_is_served_while_more_connections_wait_than_there_may_be(said: bytes) -> None:
    """2,500 such ones at 1,024 descriptors, and no other client was served any more."""
    async with serving(connections_max=8) as served:
        crowd = [await served.connect(said) for _ in range(30)]
        for _ in range(3):
            newcomer = await served.connect(HEALTH + b"\r\n")
            assert (await newcomer.answer())[0] == 200

        open_now = len(served.server.server_state.connections)
        assert open_now <= 8
        assert [await first.is_ended() for first in crowd[:10]] == [True] * 10


async def test_a_body_whose_chunks_are_malformed_is_refused_in_one_sentence(served: Served) -> None:
    connection = await served.connect(
        HALF_SENT.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"\r\n"
    )

    assert await connection.refusal() == (400, "this is not an HTTP request")


async def test_an_answer_that_is_not_read_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_S", 0.05)
    async with serving() as served:
        await served.connect(LARGE * 50, reads=False)

        await until(lambda: served.server.server_state.total_requests > 0)
        await until(lambda: not served.server.server_state.connections)


async def test_an_answer_that_is_read_slowly_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_S", 0.1)
    async with serving() as served:
        connection = await served.connect(LARGE * 10, reads=False)
        while served.server.server_state.total_requests < 10:
            assert await connection.reader.read(30_000)
            await asyncio.sleep(0.005)


async def test_a_body_that_stops_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "BODY_S", 0.05)
    async with serving() as served:
        connection = await served.connect(HALF_SENT)

        assert await connection.refusal() == (408, "a body must arrive by 16,384 bytes in 0.05 s at least")


async def test_requests_that_the_end_cuts_off_are_answered_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each left one, and its client got a 500."""
    monkeypatch.setattr(http_server, "GRACE_S", 0.1)
    async with serving() as served:
        half_sent = await served.connect(HALF_SENT)
        await served.connect(LARGE * 50, reads=False)
        await served.connect(HEALTH)
        await until(lambda: len(served.server.server_state.tasks) == 2)
        with caplog.at_level(logging.WARNING):
            served.server.end()
            refusal = await half_sent.refusal()

    assert refusal == (503, "the process ends; try again in a moment")
    assert caplog.messages == []
