"""A Redis of our own, and clients of its queue: processes that admit, lease and settle as fast as they can."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import uvloop
from redis.asyncio import Redis

from tempogram.bot.demo.process import free_port
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import PRIORITIES, Done, Lease, Outgoing, Priority, Settlement

BATCH = 50
CHATS, BOTS = 100_000, 1_000
NONE = Limit(0, 1_000)
LIMITS = Limits(ceiling=NONE, bot=NONE, chat=NONE, group=NONE, chat_cap=0, bot_cap=0)
PARAMS = b'{"text":"' + b"x" * 289 + b'"}'


@dataclass
class Traffic:
    """One broker, and how many messages it made."""

    broker: RedisBroker
    client: int = 0
    made: int = 0

    async def admit(self, count: int, *, chats: int = CHATS, priority: Priority | None = None) -> None:
        """Admit so many, of all three priorities unless one is named."""
        end = self.made + count
        while self.made < end:
            messages = [self._message(chats, priority) for _ in range(min(BATCH, end - self.made))]
            await self.broker.admit(messages, worker_id=f"w{self.client}", slots=0)

    async def drain(self, count: int) -> None:
        """Lease so many, and settle each batch while the next is leased, as a worker does."""
        settling, left = None, count
        while left:
            leased = await self.broker.lease(worker_id=f"w{self.client}", slots=min(BATCH, left))
            if settling is not None:
                await settling
            left -= len(leased.leases)
            settling = asyncio.create_task(self._settle(leased.leases))
        if settling is not None:
            await settling

    async def _settle(self, leases: Sequence[Lease]) -> None:
        settled = await self.broker.settle([Settlement(lease, Done(), 0) for lease in leases])
        assert all(each.held for each in settled)

    def _message(self, chats: int, priority: Priority | None) -> Outgoing:
        number, chat = self.made, (self.made * 7 + self.client * 25_000) % chats
        self.made += 1
        return Outgoing(
            id=f"{self.client:02x}{number:024x}",
            bot_id=7_000_000_000 + chat % BOTS,
            chat_id=5_000_000_000 + chat,
            method="sendMessage",
            params=PARAMS,
            priority=priority or PRIORITIES[chat % len(PRIORITIES)],
            submitted_at_ms=1_700_000_000_000,
        )


class Client:
    """A process with one broker, which executes the commands on its standard input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.cpu_s = 0.0
        """The CPU seconds that all its commands took."""

    async def do(self, verb: str, count: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{verb} {count}\n".encode())
        self.cpu_s += json.loads(await self._process.stdout.readline())

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def together(clients: Sequence[Client], verb: str, count: int) -> float:
    """Have clients share a work; return how many a second they did together."""
    since_s = time.perf_counter()
    await asyncio.gather(*(client.do(verb, count // len(clients)) for client in clients))
    return count / (time.perf_counter() - since_s)


@asynccontextmanager
async def clients(url: str, count: int) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        started = []
        for number in range(count):
            words = (sys.executable, "-m", "bench.redis_clients", url, str(number))
            pipe = asyncio.subprocess.PIPE
            client = Client(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe))
            stack.push_async_callback(client.end)
            started.append(client)
        yield started


@asynccontextmanager
async def own_redis() -> AsyncIterator[tuple[Redis, str]]:
    """Start a server of our own that keeps nothing on disk, and end exactly that one."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder)
        server = await asyncio.create_subprocess_exec("redis-server", *words, stdout=asyncio.subprocess.DEVNULL)
        try:
            await asyncio.sleep(0.5)
            url = f"redis://127.0.0.1:{port}/0"
            async with connect(url) as redis:
                yield redis, url
        finally:
            server.terminate()
            await server.wait()


def broker(redis: Redis) -> RedisBroker:
    return RedisBroker(redis, LIMITS, lease_ms=60_000, begins=True)


async def serve_commands(url: str, number: int) -> None:
    """Be a client: a verb and a count a line, and the seconds of a processor that it took in answer."""
    async with connect(url) as redis:
        traffic = Traffic(broker(redis), number)
        low = partial(traffic.admit, priority=Priority.LOW)
        verbs: dict[str, Callable[[int], Awaitable[None]]] = {
            "admit": traffic.admit,
            "low": low,
            "drain": traffic.drain,
        }
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, count = line.split()
            since_s = time.process_time()
            await verbs[verb](int(count))
            sys.stdout.write(f"{time.process_time() - since_s}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_commands(sys.argv[1], int(sys.argv[2])))
