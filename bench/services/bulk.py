"""A bulk of calls to a strict service, with our limiter and without one: do the mission's claims hold?

Question    The mission says of its limiter: 90 % fewer rate-limit errors, 15 % less CPU. What is seen of ours?
Workload    120 requests by httpx to the strict server. It allows what Quickbase does for queries (10 a second, 5 at
            once), counts a call anywhere between its arrival and its answer 40 ms later, and answers 429 to what is
            above. Without a limiter: all at once, and a 429 is tried again up to 5 times after a random part of 1, 2,
            4, 8, 16 s; the same with 5 at once (asyncio's semaphore; the mission's p-limit); and with one begun each
            100 ms besides. With ours: all at once through ``ServiceTransport``, in memory and over Redis.
Measured    429s and requests at the server; time and CPU of the sending process, without its start. 3 rounds in turn.
Not measured  What a penalty for many 429s would cost; this service gives none. CPU of Redis.
Checked     With ours every call succeeds, and at most one in a hundred has a 429. The claims are reported, not judged.

    python -m bench.services.bulk
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import httpx

from bench.harness import Checks, main
from bench.peers import table
from bench.redis_clients import own_redis
from bench.services.processes import strict_server
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.services.catalogue import shipped
from tempogram.engine.services.clients.httpx_transport import ServiceTransport
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import Services

CALLS, ROUNDS, RETRIES, WITHIN_S = 120, 3, 5, 60
COUNT, WINDOW_S, CONCURRENCY = 10, 1.0, 5
STRICT = {
    "rules": [{"name": "queries", "prefix": "/", "count": COUNT, "window_ms": 1_000, "concurrency": CONCURRENCY}],
    "manner": {"hold_ms": (40, 40)},
}
AFTER_START_S = 1.2
"""A limiter waits for a window after a start, which is no part of the bulk."""

FORMS = {
    "gather": "all at once, backoff after a 429",
    "semaphore": "5 at once, backoff after a 429",
    "paced": "one each 100 ms, 5 at once, backoff after a 429",
    "memory": "Tempogram, in memory",
    "redis": "Tempogram, over Redis",
}
OURS = ("memory", "redis")
CLAIMS = {"429s": 0.90, "CPU": 0.15}

Send = Callable[[int], Awaitable[int]]
"""Gets a number, and returns the status of the last answer."""


@dataclass
class Seen:
    """What each round of one form took."""

    refused: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    async with AsyncExitStack() as stack:
        forms, redis_url = dict(FORMS), ""
        if shutil.which("redis-server") is None:
            print("  no redis-server on the path; Redis is left out")
            del forms["redis"]
        else:
            _, redis_url = await stack.enter_async_context(own_redis())
        seen = {form: Seen() for form in forms}
        for _ in range(ROUNDS):
            for form in forms:
                await one_round(form, redis_url, seen[form])
    print(f"\n{table_of(seen)}\n")
    for form in set(OURS) & set(seen):
        refused, lost = sum(seen[form].refused), sum(seen[form].lost)
        checks.that(lost == 0, f"{FORMS[form]}: {lost} calls lost")
        checks.that(refused <= CALLS * ROUNDS // 100, f"{FORMS[form]}: {refused} times 429")
    for form in (form for form in FORMS if form not in OURS):
        print(f"\n{claims_of(form, seen)}")


async def one_round(form: str, redis_url: str, seen: Seen) -> None:
    async with strict_server() as server:
        await server.begin(STRICT)
        words = (sys.executable, "-m", "bench.services.bulk", "--as", form, server.url, redis_url)
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(WITHIN_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        statuses = (await server.report())["statuses"]
    done = json.loads(output)
    seen.refused.append(statuses.get("429", 0))
    seen.requests.append(sum(statuses.values()))
    seen.lost.append(done["lost"])
    seen.took_s.append(done["took_s"])
    seen.cpu_s.append(done["cpu_s"])


def table_of(seen: dict[str, Seen]) -> str:
    head = [f"{CALLS} calls", "429s", "requests", "calls lost", "all after", "CPU of the sender"]
    return table(head, [[FORMS[form], *cells_of(each)] for form, each in seen.items()])


def cells_of(seen: Seen) -> list[str]:
    numbers = [f"{median(each):.0f} ({min(each)} to {max(each)})" for each in (seen.refused, seen.requests, seen.lost)]
    times = [f"{median(each):.2f} s ({min(each):.2f} to {max(each):.2f})" for each in (seen.took_s, seen.cpu_s)]
    return numbers + times


def claims_of(form: str, seen: dict[str, Seen]) -> str:
    """Say of each claim whether it holds against one form."""
    lines = [f"  compared with {FORMS[form]}:"]
    for ours in OURS:
        if ours not in seen:
            continue
        pairs = {
            "429s": (median(seen[ours].refused), median(seen[form].refused)),
            "CPU": (median(seen[ours].cpu_s), median(seen[form].cpu_s)),
        }
        for what, (after, before) in pairs.items():
            less = 1 - after / before if before else 0.0
            verdict = "holds" if less >= CLAIMS[what] else "DOES NOT HOLD"
            lines.append(f"  {FORMS[ours]}: {what} {-less:+.0%}; the claim of -{CLAIMS[what]:.0%} {verdict}")
    return "\n".join(lines)


async def send_all(form: str, url: str, redis_url: str) -> dict[str, float]:
    """Be the sending process."""
    async with SENDERS[form](url, redis_url) as send:
        since_s, cpu_s = time.perf_counter(), time.process_time()
        statuses = await asyncio.gather(*(send(number) for number in range(CALLS)))
        took_s, cpu_s = time.perf_counter() - since_s, time.process_time() - cpu_s
    return {"took_s": took_s, "cpu_s": cpu_s, "lost": sum(status != httpx.codes.OK for status in statuses)}


@asynccontextmanager
async def with_backoff(url: str, at_once: int, apart_s: float = 0.0) -> AsyncIterator[Send]:
    places = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # as ours has
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:  # noqa: S113 - a connection may take a while

        async def send(number: int) -> int:
            await asyncio.sleep(number * apart_s)
            for attempt in range(RETRIES + 1):
                async with places:
                    status = (await client.get(url)).status_code
                if status != httpx.codes.TOO_MANY_REQUESTS:
                    break
                await asyncio.sleep(random.uniform(0, 2**attempt))
            return status

        yield send


@asynccontextmanager
async def with_ours(url: str, redis_url: str) -> AsyncIterator[Send]:
    redis = connect(redis_url) if redis_url else None
    limiter = MemoryCallLimiter(clock=now_ms) if redis is None else RedisCallLimiter(redis, f"{time.time_ns():x}")
    services = Services(shipped(), limiter, clock=now_ms)
    await services.call("quickbase", "queries", asyncio.sleep, 0)
    await asyncio.sleep(AFTER_START_S)
    async with httpx.AsyncClient(transport=ServiceTransport(services, "quickbase", "queries")) as client:

        async def send(_: int) -> int:
            return (await client.get(url)).status_code

        yield send
    await limiter.close()
    if redis is not None:
        await redis.aclose()


SENDERS: dict[str, Callable[[str, str], AbstractAsyncContextManager[Send]]] = {
    "gather": lambda url, _: with_backoff(url, CALLS),
    "semaphore": lambda url, _: with_backoff(url, CONCURRENCY),
    "paced": lambda url, _: with_backoff(url, CONCURRENCY, WINDOW_S / COUNT),
    "memory": lambda url, _: with_ours(url, ""),
    "redis": with_ours,
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    if "--as" in sys.argv:
        print(json.dumps(asyncio.run(send_all(*sys.argv[2:5]))))
    else:
        main("A bulk of calls, with our limiter and without one: do the mission's claims hold?", bench)
