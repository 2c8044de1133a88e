"""What does the schedule of many processes cost, with little and with much that waits?

Question    How many messages a second can one client admit to one Redis, and lease and settle, with a thousand
            waiting and with a hundred thousand? What does one that waits take up, and what does a lease cost that
            finds nothing?
Workload    A hundred bots, limits off but for one message of a chat in flight, 300 bytes of parameters. A backlog of
            1,000 or of 100,000 messages (10 a chat, then 1 a chat); then in batches of 50: lease and settle as many
            as wait or 10,000, in 5 rounds. Last, 20,000 chats that are held, and leases of nothing.
Measured    Wall time of the calls from one client, one after another, on the same machine; CPU time of the server
            inside the scripts (INFO commandstats); memory of the server over the size of the backlog.
Not measured  The ledger, HTTP, a network between; several clients at once (Redis runs one script at a time).
Checked     What went in came out or waits; 100,000 waiting cost at most 1.5 times as much CPU as 1,000; an empty lease
            with 20,000 held chats costs at most a millisecond. Aimed at: 700 bytes a message, 10 of them to a chat.

    python -m bench.redis_core      (starts a redis-server of its own; without one it is left out and said so)
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from redis.asyncio import Redis

from bench.harness import Checks, main, spread
from bot.demo.process import free_port
from engine.limits import Limit, Limits
from engine.messages import PRIORITIES, Done, Hold, Outgoing, Settlement
from engine.ports import SystemClock
from engine.redis_broker import RedisBroker, connect

BOTS, BATCH, ROUNDS = 100, 50, 5
NONE = Limit(0, 1_000)
LIMITS = Limits(ceiling=NONE, bot=NONE, chat=NONE, group=NONE, chat_cap=0, bot_cap=0)
PARAMS = b'{"text":"' + b"x" * 289 + b'"}'
SIZES = ((1_000, 10), (100_000, 10), (100_000, 1))
MESSAGES, HELD, EMPTY = 10_000, 20_000, 200


@dataclass
class Traffic:
    """A broker on an empty Redis, and how many were made and settled."""

    redis: Redis
    a_chat: int = 1
    made: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self.broker = RedisBroker(self.redis, LIMITS, lease_ms=30_000, begins=True)

    async def admit(self, count: int) -> float:
        """Return how many a second."""
        since_s, end = time.perf_counter(), self.made + count
        while self.made < end:
            messages = [self._message() for _ in range(min(BATCH, end - self.made))]
            await self.broker.admit(messages, worker_id="w", slots=0)
        return count / (time.perf_counter() - since_s)

    async def drain(self, count: int) -> float:
        """Lease and settle so many; return how many a second."""
        since_s, end = time.perf_counter(), self.sent + count
        while self.sent < end:
            leased = await self.broker.lease(worker_id="w", slots=min(BATCH, end - self.sent))
            assert leased.leases
            await self.broker.settle([Settlement(lease, Done(), 0) for lease in leased.leases])
            self.sent += len(leased.leases)
        return count / (time.perf_counter() - since_s)

    async def script_us(self) -> float:
        stats = await self.redis.info("commandstats")
        return float(sum(stats[name]["usec"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats))

    async def used_bytes(self) -> int:
        memory: dict[str, Any] = await self.redis.info("memory")
        return int(memory["used_memory"])

    def _message(self) -> Outgoing:
        number = self.made
        self.made += 1
        chat = number // self.a_chat
        return Outgoing(
            id=f"{number:026x}",
            bot_id=7_000_000_000 + chat % BOTS,
            chat_id=5_000_000_000 + chat,
            method="sendMessage",
            params=PARAMS,
            priority=PRIORITIES[chat % len(PRIORITIES)],
            submitted_at_ms=1_700_000_000_000,
        )


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    if shutil.which("redis-server") is None:
        print("  no redis-server on the path; left out")
        return
    async with own_redis() as redis:
        each_us = [await measured(checks, redis, size, a_chat) for size, a_chat in SIZES]
        flat = each_us[1] / each_us[0]
        checks.that(flat <= 1.5, f"{SIZES[1][0]:,} waiting cost {flat:.2f} times as much as {SIZES[0][0]:,}")
        await empty(checks, redis)


async def measured(checks: Checks, redis: Redis, size: int, a_chat: int) -> float:
    """Print what a size costs, and return the microseconds of a message in the scripts of lease and settle."""
    await redis.flushall()
    traffic = Traffic(redis, a_chat)
    await traffic.broker.stats()
    before, script_us = await traffic.used_bytes(), await traffic.script_us()
    admitted = [await traffic.admit(size // ROUNDS) for _ in range(ROUNDS)]
    taken, admit_us = await traffic.used_bytes() - before, (await traffic.script_us() - script_us) / size
    rates, cpu_us, count = [], [], min(size, MESSAGES) // ROUNDS
    for _ in range(ROUNDS):
        script_us = await traffic.script_us()
        rates.append(await traffic.drain(count))
        cpu_us.append((await traffic.script_us() - script_us) / count)
    print(f"  {size:,} waiting, {a_chat} a chat: {taken / size:.0f} bytes a message")
    print(f"    admitted {spread(admitted, '/s', digits=0)}; {admit_us:.0f} us each in the script")
    print(f"    leased and settled {spread(rates, '/s', digits=0)}; {spread(cpu_us, 'us', digits=0)} in the scripts")
    waiting = sum((await traffic.broker.stats()).waiting.values())
    checks.that(traffic.made == traffic.sent + waiting, f"{traffic.made:,} in, {traffic.sent:,} out, {waiting:,} open")
    return median(cpu_us)


async def empty(checks: Checks, redis: Redis) -> None:
    """Print what a lease costs that finds nothing, though much waits."""
    await redis.flushall()
    traffic = Traffic(redis)
    await traffic.admit(HELD)
    until_ms = SystemClock()() + 3_600_000
    await traffic.broker.hold(
        [Hold(7_000_000_000 + chat % BOTS, 5_000_000_000 + chat, until_ms) for chat in range(HELD)]
    )
    took_ms, script_us = [], await traffic.script_us()
    for _ in range(EMPTY):
        since_s = time.perf_counter()
        leased = await traffic.broker.lease(worker_id="w", slots=BATCH)
        took_ms.append((time.perf_counter() - since_s) * 1_000)
        assert not leased.leases
    print(
        f"  {HELD:,} held chats: a lease of nothing {spread(took_ms, 'ms', digits=2)},"
        f" {(await traffic.script_us() - script_us) / EMPTY:.0f} us in the script"
    )
    checks.that(median(took_ms) < 1, "a lease of nothing costs less than a millisecond")


@asynccontextmanager
async def own_redis() -> AsyncIterator[Redis]:
    """Start a server of our own that keeps nothing on disk, and end exactly that one."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder)
        server = await asyncio.create_subprocess_exec("redis-server", *words, stdout=asyncio.subprocess.DEVNULL)
        try:
            await asyncio.sleep(0.5)
            async with connect(f"redis://127.0.0.1:{port}/0") as redis:
                yield redis
        finally:
            server.terminate()
            await server.wait()


if __name__ == "__main__":
    main("What does the schedule of many processes cost, with little and with much that waits?", bench)
