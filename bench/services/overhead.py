"""What does a call of a service cost beside the call itself?

Question    How much does ``services.call`` add to a call with everything on, and ``ServiceTransport`` to a request of
            httpx? The mission allows 5 to 10 ms.
Workload    Calls that may begin at once. "Plain": the limits of all services, of the service and of the operation.
            "Full": those of a tenant and of tokens besides, with ``used``; a breaker by count, by rate and by slow
            calls; both with retries, time-out and deadline. In memory, and with limits in a Redis of our own.
Measured    CPU of a call of a coroutine that returns at once, 5 rounds of 2,000 (over Redis 50 together), and the same
            bare; the time of one call after another over Redis; time and CPU of a request to a server on loopback, bare
            and through the transport in turn, 5 rounds of 60; CPU of a call whose answer is kept: found, computed and
            kept, and each of 1,000 callers that ask for it at once.
Not measured  Waiting for a place, which is what limits are for; Redis on another machine.
Checked     At the median a call takes less than 5 ms more CPU than the bare one, each way; every call returned what the
            function returned. The time that it adds is printed, as other work on the machine adds to it.

    python -m bench.services.overhead
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import httpx

from bench.harness import Checks, main, quantile, spread
from bench.redis_clients import own_redis
from bench.services.processes import strict_server
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.cache.redis_backend import RedisBackend
from tempogram.engine.cache.store import CacheStore
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.clients.httpx_transport import ServiceTransport
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import PLAIN, CallOptions, Services

ROUNDS, CALLS, REQUESTS, TOGETHER = 5, 2_000, 60, 50
ALLOWED_MS = 5.0
STAMPEDE = 1_000
KEPT = CacheOptions(ttl_s=600)
PAUSE_S = 0.002
AFTER_START_S = 1.2
"""A limiter waits for a window after a start."""

DECLARED = """
[all]
count = 1_000_000
window_ms = 1_000

[plain]
concurrency = 1_000
operations = {call = {count = 1_000_000, window_ms = 1_000, idempotent = true}}

[full]
concurrency = 1_000
tenant = {count = 1_000_000, window_ms = 1_000}
breaker = {failures = 5, failure_rate = 0.5, slow_ms = 5_000, slow_rate = 0.5, calls_min = 10}

[full.operations.call]
count = 1_000_000
window_ms = 1_000
idempotent = true
tokens = {count = 1_000_000_000, window_ms = 1_000}
"""
FULL = CallOptions(tenant="anna", cost=900, used=lambda answer: 1_000 if answer else None, deadline_s=30, timeout_s=10)
KINDS = {"plain": PLAIN, "full": FULL}


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    bare_us = [await cpu_us(nothing) for _ in range(ROUNDS)]
    print(f"  the bare call: CPU {spread(bare_us, 'us', digits=2)}")
    async with in_memory() as services:
        await of_calls(checks, services, "in memory")
        await of_requests(checks, services, "in memory")
        await of_kept_answers(checks, services, "in memory")
    if shutil.which("redis-server") is None:
        print("  no redis-server on the path; Redis is left out")
        return
    async with in_redis() as services:
        await of_calls(checks, services, "over Redis", together=TOGETHER)
        await one_after_another(services)
        await of_requests(checks, services, "over Redis")
        await of_kept_answers(checks, services, "over Redis")


async def nothing() -> bool:
    await asyncio.sleep(0)
    return True


def caller(services: Services, kind: str) -> Callable[[], Awaitable[bool]]:
    """Return a call as one function without arguments."""
    return lambda: services.call_with(KINDS[kind], kind, "call", nothing)


async def of_calls(checks: Checks, services: Services, where: str, *, together: int = 1) -> None:
    for kind in KINDS:
        call = caller(services, kind)
        await cpu_us(call, together=together)
        each_us = [await cpu_us(call, together=together) for _ in range(ROUNDS)]
        print(f"  {where}, {kind}: CPU {spread(each_us, 'us', digits=1)}" + f", {together} together" * (together > 1))
        checks.that(median(each_us) < ALLOWED_MS * 1e3, f"{kind} takes {median(each_us) / 1e3:.3f} ms of CPU {where}")


async def cpu_us(call: Callable[[], Awaitable[bool]], *, together: int = 1) -> float:
    """Return what a call takes of a processor."""
    since_s, returned = time.process_time(), 0
    for _ in range(CALLS // together):
        if together == 1:
            returned += await call()
        else:
            returned += sum(await asyncio.gather(*(call() for _ in range(together))))
    assert returned == CALLS, f"{returned} of {CALLS} calls returned what the function returned"
    return (time.process_time() - since_s) / CALLS * 1e6


async def of_kept_answers(checks: Checks, services: Services, where: str) -> None:
    """Print what a call costs whose answer is kept: a hit, a miss, and a share of a stampede."""
    numbers = itertools.count()
    await answered(services, "warm")
    hits = partial(answered, services, "warm")
    kinds = {
        "hit": [await cpu_us(hits) for _ in range(ROUNDS)],
        "miss": [await cpu_us(lambda: answered(services, f"{next(numbers)}")) for _ in range(ROUNDS)],
        "stampede": [await stampede_us(services, f"{next(numbers)}") for _ in range(ROUNDS)],
    }
    for kind, each_us in kinds.items():
        print(f"  a kept answer, {where}, {kind}: CPU {spread(each_us, 'us', digits=1)}")
        checks.that(median(each_us) < ALLOWED_MS * 1e3, f"a {kind} takes {median(each_us) / 1e3:.3f} ms of CPU {where}")
    times_ms = await timed(hits, REQUESTS * ROUNDS)
    print(f"  a kept answer, {where}, hit, one after another: {of_times(times_ms)}")


async def answered(services: Services, key: str) -> bool:
    return await services.call_with(CallOptions(cache=KEPT, cache_key=key), "plain", "call", nothing)


async def stampede_us(services: Services, key: str) -> float:
    """Return what each of many callers costs that ask at once for what is not there."""
    since_s = time.process_time()
    answers = await asyncio.gather(*(answered(services, key) for _ in range(STAMPEDE)))
    assert all(answers)
    return (time.process_time() - since_s) / STAMPEDE * 1e6


async def one_after_another(services: Services) -> None:
    """Print how long a call takes over Redis; the bare one takes nothing."""
    for kind in KINDS:
        times_ms = await timed(caller(services, kind), REQUESTS * ROUNDS)
        print(f"  over Redis, {kind}, one after another: {of_times(times_ms)}")


async def of_requests(checks: Checks, services: Services, where: str) -> None:
    """Print how long a request takes, bare and through the transport."""
    async with strict_server() as server:
        await server.begin({"manner": {"hold_ms": (0, 0)}})
        plain = ServiceTransport(services, "plain", "call")
        full = ServiceTransport(services, "full", "call", options=CallOptions(tenant="anna", cost=900, deadline_s=30))
        async with (
            httpx.AsyncClient() as bare,
            httpx.AsyncClient(transport=plain) as with_limits,
            httpx.AsyncClient(transport=full) as with_all,
        ):
            clients = {"bare": bare, "plain": with_limits, "full": with_all}
            took = {name: Took() for name in clients}
            for turn in range(ROUNDS + 1):
                for name, client in clients.items():
                    seen = await requests(client, server.url)
                    if turn:  # the first round opens connections
                        took[name].add(seen)
    for name, each in took.items():
        print(f"  a request, {where}, {name}: {of_times(each.times_ms)}; CPU {spread(each.cpu_ms, 'ms', digits=2)}")
        if name != "bare":
            added_ms = median(each.times_ms) - median(took["bare"].times_ms)
            cpu_ms = median(each.cpu_ms) - median(took["bare"].cpu_ms)
            checks.that(cpu_ms < ALLOWED_MS, f"{name} adds {added_ms:.2f} ms to a request, {cpu_ms:.2f} ms of it CPU")


@dataclass
class Took:
    """Each request's time, and the CPU of one in each round."""

    times_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def add(self, seen: Took) -> None:
        self.times_ms += seen.times_ms
        self.cpu_ms += seen.cpu_ms


async def requests(client: httpx.AsyncClient, url: str) -> Took:
    since_s = time.process_time()
    times_ms = await timed(partial(requested, client, url), REQUESTS)
    return Took(times_ms, [(time.process_time() - since_s) * 1e3 / REQUESTS])


async def requested(client: httpx.AsyncClient, url: str) -> bool:
    return (await client.get(url)).status_code == 200


async def timed(call: Callable[[], Awaitable[bool]], count: int) -> list[float]:
    times_ms = []
    for _ in range(count):
        since_s = time.perf_counter()
        assert await call()
        times_ms.append((time.perf_counter() - since_s) * 1e3)
        await asyncio.sleep(PAUSE_S)
    return times_ms


def of_times(times_ms: list[float]) -> str:
    return f"{median(times_ms):.2f} ms at the median, {quantile(times_ms, 0.99):.2f} at p99"


@asynccontextmanager
async def in_memory() -> AsyncIterator[Services]:
    limiter = MemoryCallLimiter(clock=now_ms)
    try:
        yield await made(limiter)
    finally:
        await limiter.close()


@asynccontextmanager
async def in_redis() -> AsyncIterator[Services]:
    async with own_redis() as (_, url):
        redis = connect(url)
        limiter = RedisCallLimiter(redis, "bench")
        store = CacheStore(RedisBackend(url, 64 << 20), clock=now_ms)
        await store.open()
        try:
            yield await made(limiter, Cache(store, clock=now_ms))
        finally:
            await store.close()
            await limiter.close()
            await redis.aclose()


async def made(limiter: Any, cache: Cache | None = None) -> Services:
    """Return services whose start is over."""
    services = Services(parse(DECLARED, "overhead.toml"), limiter, clock=now_ms, cache=cache)
    for kind in KINDS:
        await caller(services, kind)()
    await asyncio.sleep(AFTER_START_S)
    return services


def now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main("What does a call of a service cost beside the call itself?", bench)
