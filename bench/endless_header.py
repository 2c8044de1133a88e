"""Clients without a token send a header that never ends: what does it cost everybody else?

Question    Does the engine send as fast as without them, does it answer ``/health``, and does its memory stay?
Workload    300 messages of one bot to as many private chats, so 30 a second may go. Meanwhile four connections send
            ``GET /health``, then ``X-A: aaaa…`` as fast as they are read; each connects again when it is refused.
Measured    At the simulator: how many messages arrive in 8 s, without and with them. The slowest of the answers of
            ``/health``, asked for every 0.2 s, and the engine's memory, before and after, from the operating system.
Not measured  What a crowd of such clients costs: a connection that is refused takes as much as any short request.
Checked     At least 90 % of what arrives without them; every ``/health`` answered within a second; at most 20 MB more.

    python -m bench.endless_header
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from bench.harness import Checks, Engine, engine, main, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

MESSAGES = 300
WATCHED_S = 8.0
ATTACKERS = 4
SHARE_MIN = 0.9
HEALTH_S_MAX = 1.0
GROWTH_MB_MAX = 20
PIECE = b"a" * (64 << 10)

round_numbers = itertools.count(1)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with running_simulator() as telegram, engine(telegram.url, [token(1)], broken=broken) as tempogram:
        alone = await watched(telegram, tempogram)
        before_mb = memory_mb(tempogram)
        async with attacked(tempogram.url):
            sent = await watched(telegram, tempogram)
            health_s = [await answer_s(tempogram.url) for _ in range(10)]
            grown_mb = memory_mb(tempogram) - before_mb
    checks.that(sent >= SHARE_MIN * alone, f"{sent} messages in {WATCHED_S:.0f} s; without the clients {alone}")
    checks.that(max(health_s) <= HEALTH_S_MAX, f"/health within {max(health_s):.2f} s")
    checks.that(grown_mb <= GROWTH_MB_MAX, f"{grown_mb} MB more memory")


async def watched(telegram: RunningSimulator, tempogram: Engine) -> int:
    """Submit messages to new chats, and count those that have arrived after a while."""
    seen, number = len(await telegram.calls()), next(round_numbers)
    messages = [
        {"bot": "1", "chat_id": 1_000 * number + chat, "text": f"{number} {chat}", "expires_in_s": WATCHED_S}
        for chat in range(MESSAGES)
    ]
    until_s = time.monotonic() + WATCHED_S
    with contextlib.suppress(Exception):  # a server that does not answer is what is measured
        async with asyncio.timeout(WATCHED_S):
            await tempogram.submit(messages)
    await asyncio.sleep(max(0.0, until_s - time.monotonic()))
    return len(accepted(await telegram.calls(since=seen)))


@contextlib.asynccontextmanager
async def attacked(url: str) -> AsyncIterator[None]:
    """Attack a server until the block ends."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attack(url)) for _ in range(ATTACKERS)]
        await asyncio.sleep(1)
        yield
        for task in tasks:
            task.cancel()


async def attack(url: str) -> None:
    """Send headers that never end, one connection after another, until cancelled."""
    address = urlsplit(url)
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ")
            while True:
                writer.write(PIECE)
                await writer.drain()
        await asyncio.sleep(0.1)


async def answer_s(url: str) -> float:
    """Return how long ``/health`` takes to answer, or to be given up; pause before the next time."""
    started_s = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=5)
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/health") as response:
            await response.read()
    await asyncio.sleep(0.2)
    return time.monotonic() - started_s - 0.2


def memory_mb(tempogram: Engine) -> int:
    assert tempogram.process is not None
    status = Path(f"/proc/{tempogram.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    main("Clients that send a header without end: what does it cost everybody else?", bench)
