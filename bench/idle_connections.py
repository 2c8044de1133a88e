"""Thousands of clients connect and say nothing, or half of it, or read no answer: what does it cost everybody else?

Question    With 1,024 descriptors and no proxy in front, is each newcomer served, does the engine send as fast as
            without them, and does its memory stay?
Workload    300 messages of one bot to as many private chats, so 30 a second may go. Meanwhile 2,500 connections say
            nothing, 500 send a fifth of a webhook of 1,000 KB, with a right token, and 50 ask for 5 large answers
            each and read none. Each connects again some 5 s after it is closed.
Measured    How long a new connection takes to get ``/health``, and a new one to deliver a webhook, every 0.1 s; how
            many messages arrive in 8 s, without and with them; the engine's memory, before and after, from the
            operating system.
Not measured  How fast they can be closed: each of them costs what any short request costs.
Checked     Every newcomer is served, within a second; at least 90 % of what arrives without them; at most 150 MB more.

    python -m bench.idle_connections
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp

from bench.endless_header import SHARE_MIN, WATCHED_S, memory_mb, watched
from bench.harness import Checks, engine, main, spread, token
from tempogram.bot.demo.process import ADMIN_TOKEN
from tempogram.simulator.client import running_simulator

SILENT, HALF_SENT, SLOW_READERS = 2_500, 500, 50
AGAIN_S = 5.0
EVERY_S = 0.1
TIMEOUT_S = 5.0
ANSWER_S_MAX = 1.0
GROWTH_MB_MAX = 150
UPDATE_BYTES = 1_000_000

WEBHOOK = f"/webhook/telegram/{token(1)}"
HALF = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (WEBHOOK.encode(), UPDATE_BYTES)
HALF += b'{"update_id":1,"x":"'.ljust(UPDATE_BYTES // 5, b"x")
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % ADMIN_TOKEN.encode() * 5
RECEIVE_BYTES = 4_096
"""What a slow reader's system takes for it."""

update_ids = itertools.count(1_000)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - the harness hands it on
    async with (
        running_simulator() as telegram,
        engine(telegram.url, [token(1)], module="bench.few_descriptors") as tempogram,
    ):
        alone = await watched(telegram, tempogram)
        before_mb = memory_mb(tempogram)
        async with crowded(tempogram.url), newcomers(tempogram.url) as served_s:
            sent = await watched(telegram, tempogram)
        grown_mb = memory_mb(tempogram) - before_mb
    late = sum(each > ANSWER_S_MAX for each in served_s)
    checks.that(not late, f"{late} of {len(served_s)} newcomers not served within {ANSWER_S_MAX:g} s")
    checks.that(bool(served_s), f"a newcomer waits {spread(served_s, 's')}")
    checks.that(sent >= SHARE_MIN * alone, f"{sent} messages in {WATCHED_S:.0f} s; without the clients {alone}")
    checks.that(grown_mb <= GROWTH_MB_MAX, f"{grown_mb} MB more memory")


@contextlib.asynccontextmanager
async def crowded(url: str) -> AsyncIterator[None]:
    """Keep all these connections open until the block ends."""
    each_says = [*[b""] * SILENT, *[HALF] * HALF_SENT, *[LARGE] * SLOW_READERS]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keep_connected(url, said)) for said in each_says]
        await asyncio.sleep(2)
        yield
        for task in tasks:
            task.cancel()


async def keep_connected(url: str, said: bytes) -> None:
    """Connect, say this and read nothing, again and again, until cancelled."""
    address = urlsplit(url)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await open_slowly(str(address.hostname), address.port or 80)
            try:
                writer.write(said)
                if said is LARGE:
                    await asyncio.Event().wait()
                while await reader.read(1 << 16):
                    pass
            finally:
                writer.transport.abort()
        await asyncio.sleep(random.uniform(0.5, 1.5) * AGAIN_S)


async def open_slowly(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connecting = socket.socket()
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    connecting.setblocking(False)  # noqa: FBT003 - the library's own
    await asyncio.get_running_loop().sock_connect(connecting, (host, port))
    return await asyncio.open_connection(sock=connecting, limit=1)


@contextlib.asynccontextmanager
async def newcomers(url: str) -> AsyncIterator[list[float]]:
    """Connect anew every 0.1 s until the block ends; collect how long each took to be served."""
    served_s: list[float] = []
    async with asyncio.TaskGroup() as group:
        beginning = group.create_task(begin(url, served_s, group))
        yield served_s
        beginning.cancel()


async def begin(url: str, served_s: list[float], group: asyncio.TaskGroup) -> None:
    while True:
        group.create_task(note(f"{url}/health", None, served_s))
        group.create_task(note(url + WEBHOOK, {"update_id": next(update_ids)}, served_s))
        await asyncio.sleep(EVERY_S)


async def note(url: str, update: dict[str, int] | None, served_s: list[float]) -> None:
    """Note how long a newcomer takes to be served, or to give up."""
    started_s = time.monotonic()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            body = None if update is None else json.dumps(update)
            async with session.request("GET" if update is None else "POST", url, data=body) as response:
                if response.status == 200:
                    served_s.append(time.monotonic() - started_s)
                    return
    served_s.append(TIMEOUT_S)


if __name__ == "__main__":
    main("Clients that connect and say nothing, or half of it: what does it cost everybody else?", bench)
