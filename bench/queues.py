"""Tempogram and four task queues on the same Redis, with work that does nothing.

Question    How many messages a second does one worker process get through, and what does each cost, here and in SAQ,
            arq, taskiq and dramatiq; and what does a user of one of those have to build in addition?
Workload    10,000 no-ops with 280 characters each, queued beforehand; one worker process with a concurrency of 50; a
            redis-server of our own, emptied before each. Ours: the real worker and delivery with a transport that
            answers at once, once without a ledger and once with the ledger in PostgreSQL. Two rounds, in turn.
Measured    From the first no-op to the last (ours: until the last is settled): wall time, CPU time of the worker, and
            of Redis from the worker's start on.
Not measured  Queueing, starting up, several workers, memory, PostgreSQL's own CPU.
Checked     Each got through everything. Which is faster is reported, not judged: they do different things.

    python -m bench.queues [--count 10000]

The others come from ``clients/queues-requirements.txt``, each into a place of its own that is thrown away. The table
goes to standard output as markdown. Without a redis-server, or PostgreSQL at TEST_POSTGRES_URL, that part is left out.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from redis.asyncio import Redis

from bench.environments import CLIENTS, virtual_environment
from bench.harness import Checks, main
from bench.ledger import postgres_url
from bench.redis_clients import own_redis

QUESTION = "Tempogram and four task queues: how fast is one worker that has nothing to do?"
CONCURRENCY, ROUNDS, WITHIN_S = 50, 2, 180
NAMES = ("Tempogram", "SAQ 0.26", "arq 0.28", "taskiq 0.13, streams", "dramatiq 2.2")
FACTS = {
    "limits of each chat and bot, kept across processes": (
        "yes",
        "no",
        "no",
        "no",
        "a limiter to ask in the task; a refused task is tried again",
    ),
    "one after another in a chat": ("yes", "no", "no", "no", "no"),
    "fair between bots": ("yes", "no", "no", "no", "no"),
    "priorities": ("16 : 4 : 1, none starves", "with PostgreSQL only", "no", "no", "among what a worker has fetched"),
    "retries": ("by what Telegram answered", "with backoff", "5 by default", "with a middleware", "with backoff"),
    "dead letters": ("kept, and replayed", "kept as failed for a while", "no", "no", "kept for 7 days"),
    "leases: a worker is gone": (
        "at its deadline, as its guarantee says",
        "swept once it is stuck",
        "again when its key in progress expires",
        "claimed after 10 minutes idle",
        "again after 60 s without a heartbeat",
    ),
    "survives `kill -9` of the worker": ("yes", "after the sweep", "yes", "yes", "yes"),
    "survives the loss of Redis": ("rebuilt from the ledger", "no", "no", "no", "no"),
    "the same twice": (
        "refused by its key, as long as the ledger keeps it",
        "refused while its key is open",
        "refused while its result is kept",
        "no",
        "no",
    ),
    "a newer edit replaces one that waits": ("yes", "no", "no", "no", "no"),
}
"""Theirs as their manuals and their code say of these versions, with their Redis brokers."""


@dataclass
class Took:
    """What each round of one queue took."""

    rate: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    redis_us: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Queue:
    """How to start one of them: the arguments before its role, and those between the URL of Redis and the count."""

    name: str
    before: Sequence[str]
    after: Sequence[str] = ()

    def command(self, role: str, url: str, count: int) -> list[str]:
        return [*self.before, role, url, *self.after, str(count), str(CONCURRENCY)]


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    if shutil.which("redis-server") is None:
        print("  no redis-server on the path; left out")
        return
    count = int(sys.argv[sys.argv.index("--count") + 1]) if "--count" in sys.argv else 10_000
    async with others() as queues, postgres_url() as database_url, own_redis() as (redis, url):
        ours = (sys.executable, "-m", "bench.queue_ours")
        queues.insert(0, Queue("Tempogram, without a ledger", ours, ("none",)))
        if database_url is None:
            print("  no PostgreSQL at TEST_POSTGRES_URL; ours with a ledger is left out")
        else:
            queues.insert(1, Queue("Tempogram, ledger in PostgreSQL", ours, (database_url,)))
        took = {queue.name: Took() for queue in queues}
        for _ in range(ROUNDS):
            for queue in queues:
                done = await one(queue, redis, url, count, took[queue.name])
                checks.that(done, f"{queue.name} got through {count:,}")
    print(table(took))
    print(f"\n{facts()}")


async def one(queue: Queue, redis: Redis, url: str, count: int, took: Took) -> bool:
    """Fill an empty Redis, and have one worker empty it again; False if it does not get through in time."""
    await redis.flushall()
    await said(queue.command("fill", url, count))
    before_s = await cpu_s(redis)
    answer = await said(queue.command("work", url, count))
    if not answer:
        return False
    done = json.loads(answer)
    took.rate.append(count / done["took_s"])
    took.worker_us.append(done["cpu_s"] / count * 1e6)
    took.redis_us.append((await cpu_s(redis) - before_s) / count * 1e6)
    return True


async def said(command: Sequence[str]) -> bytes:
    """Run a command to its end, and return the last line that it wrote; nothing if it failed or took too long."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.strip().rpartition(b"\n")[2]


async def cpu_s(redis: Redis) -> float:
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def table(took: dict[str, Took]) -> str:
    lines = [
        "| one worker, 50 at once | messages a second | CPU of the worker | CPU of Redis |",
        "| --- | --- | --- | --- |",
    ]
    for name, each in took.items():
        if not each.rate:
            lines.append(f"| {name} | did not get through | | |")
            continue
        rates = f"{median(each.rate):,.0f} ({min(each.rate):,.0f} to {max(each.rate):,.0f})"
        lines.append(f"| {name} | {rates} | {median(each.worker_us):.0f} us | {median(each.redis_us):.0f} us |")
    return "\n".join(lines)


def facts() -> str:
    rows = [("", *NAMES), ("---",) * (len(NAMES) + 1), *((what, *said) for what, said in FACTS.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@asynccontextmanager
async def others() -> AsyncIterator[list[Queue]]:
    """Install the other queues, each in an environment of its own: they need different versions of redis."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = sections((CLIENTS / "queues-requirements.txt").read_text(encoding="utf-8"))
        pythons = await asyncio.gather(
            *(virtual_environment(Path(folder) / name, *words) for name, words in pinned.items())
        )
        script = str(CLIENTS / "queue_peer.py")
        yield [Queue(name, (str(python), script, name)) for name, python in zip(pinned, pythons, strict=True)]


def sections(requirements: str) -> dict[str, list[str]]:
    r"""Return what each queue needs, by its name.

    >>> sections("# All of them.\n\n# saq\nredis==7\nsaq==0.26\n\n# arq\narq==0.28\n")
    {'saq': ['redis==7', 'saq==0.26'], 'arq': ['arq==0.28']}
    """
    blocks = requirements.strip().split("\n\n")[1:]
    return {title.removeprefix("# "): words for title, *words in (block.splitlines() for block in blocks)}


if __name__ == "__main__":
    main(QUESTION, bench)
