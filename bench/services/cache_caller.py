"""A process that asks for kept answers as it is bidden, for ``bench.services.stampede``: JSON in, JSON out, by line.

python -m bench.services.cache_caller redis://127.0.0.1:6379/0 http://127.0.0.1:8080
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from functools import partial
from typing import Any

import httpx
import structlog

from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.redis_backend import RedisBackend
from tempogram.engine.cache.store import CacheStore
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import Services

DECLARED = "[shop]\nretries = 0\ntimeout_s = 20\noperations = {price = {concurrency = 100}}"


async def main(redis_url: str, service_url: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what was asked
    clock, redis = SystemClock(), connect(redis_url)
    store = CacheStore(RedisBackend(redis_url, 64 << 20), clock=clock)
    await store.open()
    limiter = RedisCallLimiter(redis, f"p{time.time_ns()}", here=clock)
    services = Services(parse(DECLARED, "stampede"), limiter, clock=clock, cache=Cache(store, clock=clock))
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(base_url=service_url, timeout=20) as client:
        say({"ready": True})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            say(await asked(services, client, **json.loads(line)))


async def asked(services: Services, client: httpx.AsyncClient, key: str, callers: int, **rules: Any) -> dict[str, Any]:
    """Let so many callers ask at once, and count what they got."""

    async def price() -> Any:
        return (await client.get(f"/{key}")).raise_for_status().json()

    compute = partial(services.call, "shop", "price", price)
    since_s = time.monotonic()
    answers = (services.get_or_set(key, compute, **rules) for _ in range(callers))
    got = Counter(map(repr, await asyncio.gather(*answers, return_exceptions=True)))
    return {"got": dict(got), "seconds": time.monotonic() - since_s}


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
