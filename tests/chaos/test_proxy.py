"""A proxy whose connections can be cut, refused and stalled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(100):
            writer.write(data)
    except ConnectionResetError:
        pass
    writer.transport.abort()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    between = Proxy(server.sockets[0].getsockname()[1])
    async with server, between.serve():
        yield between


async def test_bytes_are_passed_on_both_ways(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    writer.write(b"hello")

    assert await reader.readexactly(5) == b"hello"
    writer.transport.abort()


async def test_a_cut_ends_open_connections_and_lets_new_ones_through(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    await reader.readexactly(3)

    proxy.cut()

    assert await ended(reader)
    writer.transport.abort()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"two")
    assert await reader.readexactly(3) == b"two"
    writer.transport.abort()


async def test_a_broken_proxy_refuses_new_connections_until_it_is_mended(proxy: Proxy) -> None:
    proxy.break_off()

    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    assert await ended(reader)
    writer.transport.abort()
    proxy.mend()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"two")
    assert await reader.readexactly(3) == b"two"
    writer.transport.abort()


async def test_a_proxy_that_refuses_has_no_listener_until_it_listens_again(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    await reader.readexactly(3)

    await proxy.refuse()

    assert await ended(reader)
    writer.transport.abort()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.listen()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"two")
    assert await reader.readexactly(3) == b"two"
    writer.transport.abort()


async def test_bytes_that_a_stalled_proxy_kept_back_arrive_when_it_is_mended(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.stall()
    writer.write(b"late")
    answer = asyncio.create_task(reader.readexactly(4))
    await asyncio.sleep(0)
    assert not answer.done()

    proxy.mend()

    assert await answer == b"late"
    writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True
