"""What does the queue of many processes cost, with a short and with a long backlog?

Question    How many messages a second do one client and four admit to one Redis, and lease and settle, with a
            thousand, a hundred thousand and (--million) a million waiting? What does one that waits take up, what does
            a lease cost that finds nothing, and what does an idle worker ask?
Workload    100,000 chats of 1,000 bots in three priorities, 300 bytes of parameters, limits off but for one message of
            a chat in flight. To a backlog of each size 5 times: admit 4,000 more (at the smallest 800) in batches of
            50; lease and settle as many. A client is a process; it settles a batch while it leases the next. Last:
            200,000 chats that are held, and leases of nothing; and a worker that waits to be woken. After each round of
            one client the same is done to another server, on which a thousand wait: how fast this machine is changes
            within a run, and a ratio of two neighbours does not.
Measured    Wall time of the calls; CPU time of the server and of the clients; memory of the server over the size of the
            backlog; every command that Redis saw of the idle worker (MONITOR); its slowest scripts (SLOWLOG).
Not measured  The ledger, HTTP, a network between.
Checked     What went in came out or waits; the most that waits costs Redis at most 1.5 times as much CPU as a thousand;
            700 bytes a message where ten wait for a chat; an empty lease takes half a millisecond; no script of
            one client takes 10 ms (judged only where nothing else kept the machine busy before). Aimed at, and printed:
            10,000 a second leased and settled.

    python -m bench.redis_core [--million] [--minute]

A million takes two minutes more; --minute watches the idle worker for a minute, not for half of one. It starts a
redis-server of its own; without one it is left out and said so.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

from redis.asyncio import Redis

from bench.harness import Checks, main, spread
from bench.redis_clients import BATCH, BOTS, CHATS, Client, Traffic, broker, clients, own_redis, together
from tempogram.engine.model.messages import Hold
from tempogram.engine.ports import SystemClock

QUESTION = "What does the queue of many processes cost, with a short and with a long backlog?"
SIZES = (1_000, 100_000, 1_000_000)
ROUNDS, A_ROUND = 5, 4_000
HELD, EMPTY = 200_000, 200
SLOW_MS = 10


@dataclass
class Server:
    """What Redis says of itself."""

    redis: Redis

    async def cpu_s(self) -> float:
        cpu = await self.redis.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    async def used_bytes(self) -> int:
        memory: dict[str, Any] = await self.redis.info("memory")
        return int(memory["used_memory"])

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Have slow scripts noted until the block ends: one client and the server have a processor each."""
        await self.redis.config_set("slowlog-log-slower-than", SLOW_MS * 1_000)
        yield
        await self.redis.config_set("slowlog-log-slower-than", -1)

    async def slow_ms(self) -> list[float]:
        """Return how long each script took that took too long."""
        entries = await self.redis.slowlog_get(1_000)
        return [entry["duration"] / 1_000 for entry in entries if entry["command"].upper().startswith(b"EVAL")]


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    if shutil.which("redis-server") is None:
        print("  no redis-server on the path; left out")
        return
    others, *_ = os.getloadavg()
    async with own_redis() as (redis, url):
        server = Server(redis)
        await redis.config_set("slowlog-log-slower-than", -1)
        await grown(checks, server, url, SIZES if "--million" in sys.argv else SIZES[:2])
        await quick(checks, server, others)
        await redis.flushall()
        await redis.slowlog_reset()
        await empty(checks, server)
        await quick(checks, server, others)
        await idle(redis, 60 if "--minute" in sys.argv else 30)


async def grown(checks: Checks, server: Server, url: str, sizes: Sequence[int]) -> None:
    """Let a backlog grow, and measure at each size."""
    before, waiting = await server.used_bytes(), 0
    queue = broker(server.redis)
    await queue.stats()
    async with clients(url, 4) as all_clients, neighbour(sizes[0]) as small:
        for size in sizes:
            await together(all_clients, "admit", size - waiting)
            waiting = size
            taken = (await server.used_bytes() - before) / size
            a_chat = max(1, size // CHATS)
            print(f"  {size:,} waiting, {a_chat} a chat: {taken:.0f} bytes a message")
            count = min(A_ROUND, size * 4 // 5)
            times = await by_one(server, all_clients[0], small, count)
            await by_all(server, all_clients, count)
            found = sum((await queue.stats()).waiting.values())
            checks.that(found == size, f"what was taken out and put in leaves {found:,} waiting")
            if a_chat == SIZES[-1] // CHATS:
                checks.that(taken <= 700, f"a message takes {taken:.0f} bytes, of 700")
            comparison = f"{size:,} waiting cost {spread(times, 'times')} as much as {sizes[0]:,} beside them"
            checks.that(median(times) <= 1.5, comparison)


@dataclass
class Small:
    """Another server, its one client, and how much waits there."""

    server: Server
    client: Client
    waiting: int

    async def drained_us(self, count: int) -> float:
        """Take out and put in about so many; return the microseconds of Redis that one takes to lease and settle."""
        batch, cpu_s, done = self.waiting * 4 // 5, 0.0, 0
        while done < count:
            await self.client.do("admit", batch)
            since_s = await self.server.cpu_s()
            await self.client.do("drain", batch)
            cpu_s += await self.server.cpu_s() - since_s
            done += batch
        return cpu_s / done * 1e6


@asynccontextmanager
async def neighbour(waiting: int) -> AsyncIterator[Small]:
    async with own_redis() as (redis, url), clients(url, 1) as (client,):
        await client.do("admit", waiting)
        yield Small(Server(redis), client, waiting)


async def by_one(server: Server, client: Client, small: Small, count: int) -> list[float]:
    """Print what a size costs one client; return how many times as much of Redis as the small one, by round."""
    costs, times = Costs(server, [client]), []
    for _ in range(ROUNDS):
        async with server.watched():
            each_us = await costs.round(count)
        times.append(each_us / await small.drained_us(count))
    costs.tell()
    return times


async def by_all(server: Server, all_clients: Sequence[Client], count: int) -> None:
    costs = Costs(server, all_clients)
    for _ in range(ROUNDS):
        await costs.round(count)
    costs.tell()


VERBS = {"admit": "admitted", "drain": "leased and settled"}


class Costs:
    """What rounds of some clients took, by verb: messages a second, and the microseconds of a message."""

    def __init__(self, server: Server, some: Sequence[Client]) -> None:
        self._server = server
        self._some = some
        self._rates: dict[str, list[float]] = {verb: [] for verb in VERBS}
        self._redis_us: dict[str, list[float]] = {verb: [] for verb in VERBS}
        self._client_us: dict[str, list[float]] = {verb: [] for verb in VERBS}

    async def round(self, count: int) -> float:
        """Put in and take out so many; return the microseconds of Redis that one takes to lease and settle."""
        for verb in VERBS:
            redis_s, client_s = await self._server.cpu_s(), sum(client.cpu_s for client in self._some)
            self._rates[verb].append(await together(self._some, verb, count))
            self._redis_us[verb].append((await self._server.cpu_s() - redis_s) / count * 1e6)
            self._client_us[verb].append((sum(client.cpu_s for client in self._some) - client_s) / count * 1e6)
        return self._redis_us["drain"][-1]

    def tell(self) -> None:
        print(f"    {len(self._some)} client{'s' if len(self._some) > 1 else ''}")
        for verb, said in VERBS.items():
            print(
                f"      {said} {spread(self._rates[verb], '/s', digits=0)}; CPU of Redis "
                f"{median(self._redis_us[verb]):.0f} us, of a client {median(self._client_us[verb]):.0f} us"
            )


async def quick(checks: Checks, server: Server, others: float) -> None:
    """Tell which scripts took too long; with others at work, an interrupted script takes long."""
    slow = await server.slow_ms()
    worst = f", the slowest {max(slow):.1f} ms" if slow else ""
    sentence = f"{len(slow)} scripts took more than {SLOW_MS} ms{worst}"
    if others < 1:
        checks.that(not slow, sentence)
    else:
        print(f"  not judged, as other work kept {others:.1f} processors busy before: {sentence}")


async def empty(checks: Checks, server: Server) -> None:
    """Print what a lease costs that finds nothing, though much waits."""
    traffic = Traffic(broker(server.redis))
    until_ms = SystemClock()() + 3_600_000
    holds = [Hold(7_000_000_000 + chat % BOTS, 5_000_000_000 + chat, until_ms) for chat in range(HELD)]
    async with server.watched():
        await traffic.admit(HELD, chats=HELD)
        await traffic.broker.hold(holds)
    took_ms, cpu_s = [], await server.cpu_s()
    for _ in range(EMPTY):
        since_s = time.perf_counter()
        leased = await traffic.broker.lease(worker_id="w", slots=BATCH)
        took_ms.append((time.perf_counter() - since_s) * 1_000)
        assert not leased.leases
    cpu_us = (await server.cpu_s() - cpu_s) / EMPTY * 1e6
    print(f"  {HELD:,} held chats: a lease of nothing {spread(took_ms, 'ms', digits=2)}; CPU of Redis {cpu_us:.0f} us")
    checks.that(median(took_ms) <= 0.5, "a lease of nothing takes half a millisecond at most")


async def idle(redis: Redis, watched_s: int) -> None:
    """Print what an idle worker asks of Redis."""
    await redis.flushall()
    worker = asyncio.create_task(wait_for_work(redis))
    await asyncio.sleep(1)
    seen = await commands(redis, watched_s)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    print(f"  an idle worker: {len(seen) * 60 // watched_s} commands a minute ({len(seen)} in {watched_s} s)")


async def wait_for_work(redis: Redis) -> None:
    queue = broker(redis)
    while True:
        leased = await queue.lease(worker_id="w", slots=BATCH)
        await queue.wait(leased.wake_at_ms)


async def commands(redis: Redis, watched_s: int) -> list[str]:
    """Return every command that Redis gets meanwhile, but for those of scripts."""
    seen: list[str] = []
    async with redis.monitor() as monitor:
        with suppress(TimeoutError):
            async with asyncio.timeout(watched_s):
                async for said in monitor.listen():
                    if said["client_type"] != "lua":
                        seen.append(said["command"])  # noqa: PERF401 - what was seen until the time is over counts
    return seen


if __name__ == "__main__":
    main(QUESTION, bench)
