"""Calls a service through a limiter of one's choice, or decides so many times; see bench.services.peers.

    python limiters.py <limits|pyrate|throttled|aiolimiter|ours>

The plan comes as a line of JSON on standard input. "ready" is the answer, and another line starts it; what was seen is
a line of JSON. Each limiter is used as its manual says. For calls at once, which none of the others has, there is
asyncio's semaphore; a limiter that does not wait by itself is asked again when it says.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KEYS, ROUNDS, DECISIONS = 100, 5, 2_000
PAUSE_S = 0.002
"""Between two decisions over Redis: a call takes a while, and what its end costs is not part of the next decision."""


class Inexpressible(Exception):
    """The library has no such limit."""


class Peer(ABC):
    """One library. A limiter of it is a list of parts, which a call passes one after another."""

    async def open(self, redis_url: str) -> None:
        """Connect, if there is a URL."""
        self.redis_url = redis_url

    async def limiter(
        self, key: str, *, count: int = 0, window_ms: int = 0, apart_ms: int = 0, concurrency: int = 0
    ) -> Any:
        parts: list[Any] = [asyncio.Semaphore(concurrency)] if concurrency else []
        if apart_ms:
            with suppress(Inexpressible):
                parts.append(await self.rate(f"{key}-apart", 1, apart_ms))
        if count:
            parts.append(await self.rate(key, count, window_ms))
        return parts

    async def enter(self, *limiters: Any) -> Any:
        """Return when a call may begin at all of them."""
        for parts in limiters:
            for part in parts:
                await (part.acquire() if isinstance(part, asyncio.Semaphore) else self.take(part))
        return limiters

    def leave(self, entered: Any) -> None:
        """End a call."""
        for parts in entered:
            for part in parts:
                if isinstance(part, asyncio.Semaphore):
                    part.release()

    @abstractmethod
    async def rate(self, key: str, count: int, window_ms: int) -> Any:
        """Return a limit of so many in any such time."""

    @abstractmethod
    async def take(self, part: Any) -> None:
        """Return when one may begin."""

    async def ping(self) -> None:
        from redis.asyncio import Redis

        if not hasattr(self, "_pinged"):
            self._pinged = Redis.from_url(self.redis_url)
        await self._pinged.ping()


class Limits(Peer):
    """It does not wait by itself."""

    async def open(self, redis_url: str) -> None:
        from limits.aio.storage import MemoryStorage, RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        await super().open(redis_url)
        storage = RedisStorage(f"async+{redis_url}", implementation="redispy") if redis_url else MemoryStorage()
        self._strategy = MovingWindowRateLimiter(storage)

    async def rate(self, key: str, count: int, window_ms: int) -> Any:
        from limits import RateLimitItemPerSecond

        if window_ms % 1_000:
            raise Inexpressible
        return RateLimitItemPerSecond(count, window_ms // 1_000), key

    async def take(self, part: Any) -> None:
        item, key = part
        while not await self._strategy.hit(item, key):
            stats = await self._strategy.get_window_stats(item, key)
            await asyncio.sleep(max(0.001, stats.reset_time - time.time()))


class Pyrate(Peer):
    """With its defaults: 50 ms are added to each wait."""

    async def open(self, redis_url: str) -> None:
        await super().open(redis_url)
        if redis_url:
            from redis.asyncio import Redis

            self._redis = Redis.from_url(redis_url)

    async def rate(self, key: str, count: int, window_ms: int) -> Any:
        from pyrate_limiter import InMemoryBucket, Limiter, Rate, RedisBucket

        rates = [Rate(count, window_ms)]
        return Limiter(await RedisBucket.init(rates, self._redis, key) if self.redis_url else InMemoryBucket(rates))

    async def take(self, part: Any) -> None:
        await part.try_acquire_async("call")


class Throttled(Peer):
    """Its sliding window is an estimate from two fixed ones."""

    async def open(self, redis_url: str) -> None:
        from throttled.asyncio import MemoryStore, RedisStore

        await super().open(redis_url)
        self._store = RedisStore(server=redis_url) if redis_url else MemoryStore()

    async def rate(self, key: str, count: int, window_ms: int) -> Any:
        from datetime import timedelta

        from throttled.asyncio import RateLimiterType, Throttled, rate_limiter

        if window_ms % 1_000:
            raise Inexpressible
        quota = rate_limiter.per_duration(timedelta(milliseconds=window_ms), count)
        using = RateLimiterType.SLIDING_WINDOW.value
        return Throttled(key=key, using=using, quota=quota, store=self._store, timeout=60)

    async def take(self, part: Any) -> None:
        while (await part.limit()).limited:
            pass  # after its time-out


class Aiolimiter(Peer):
    """A leaky bucket, without keys and for one process."""

    async def rate(self, key: str, count: int, window_ms: int) -> Any:  # noqa: ARG002 - it has no keys
        from aiolimiter import AsyncLimiter

        return AsyncLimiter(count, window_ms / 1_000)

    async def take(self, part: Any) -> None:
        await part.acquire()


class Ours(Peer):
    """All limiters of a call are one decision."""

    async def open(self, redis_url: str) -> None:
        import os

        from tempogram.engine.brokers.redis.connection import connect
        from tempogram.engine.services.limiter import MemoryCallLimiter
        from tempogram.engine.services.redis.limiter import RedisCallLimiter

        await super().open(redis_url)
        if redis_url:
            self._limiter: Any = RedisCallLimiter(connect(redis_url), f"{os.getpid():x}")
        else:
            self._limiter = MemoryCallLimiter(clock=lambda: time.time_ns() // 1_000_000)

    async def limiter(
        self, key: str, *, count: int = 0, window_ms: int = 0, apart_ms: int = 0, concurrency: int = 0
    ) -> Any:
        from tempogram.engine.services.calls import Charge, Limiter
        from tempogram.engine.services.limit import CallLimit

        limit = CallLimit(count=count, window_ms=window_ms, apart_ms=apart_ms, concurrency=concurrency)
        return Charge(Limiter(key, limit))

    async def enter(self, *limiters: Any) -> Any:
        from tempogram.engine.services.calls import Call

        call = Call(limiters)
        await self._limiter.begin(call)
        return call

    def leave(self, entered: Any) -> None:
        self._limiter.end(entered)

    async def rate(self, key: str, count: int, window_ms: int) -> Any:
        """See ``limiter``."""

    async def take(self, part: Any) -> None:
        """See ``enter``."""


class Service:
    """A connection for each call, open beforehand."""

    async def open(self, url: str, calls: int) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._free = [await asyncio.open_connection(host, int(port)) for _ in range(calls)]

    async def call(self, number: int) -> None:
        reader, writer = self._free.pop()
        writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Client: {number}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        self._free.append((reader, writer))


async def burst(peer: Peer, plan: dict[str, Any]) -> Any:
    """Make all calls at once; the service says what became of them."""
    limiter, service = await peer.limiter("burst", **plan["limit"]), Service()
    await service.open(plan["url"], plan["calls"])
    await warm_up(peer)

    async def one(number: int) -> None:
        entered = await peer.enter(limiter)
        await service.call(number)
        peer.leave(entered)

    await go()
    began_s = time.time()
    await asyncio.gather(*(one(number) for number in range(plan["calls"])))
    return {"began_s": began_s, "took_s": time.time() - began_s}


async def decide(peer: Peer, plan: dict[str, Any]) -> Any:
    """Return what decisions took that let a call begin at once, in microseconds.

    In memory each figure is the CPU time of a round, over Redis the time of one decision.
    """
    keys = [
        [await peer.limiter(f"k{key}-{place}", count=100, window_ms=1_000) for place in range(plan["limiters"])]
        for key in range(KEYS)
    ]
    await warm_up(peer)
    await go()
    if peer.redis_url:
        return {
            "each_us": [await timed(peer, keys[turn % KEYS]) for turn in range(plan["decisions"])],
            "ping_us": [await pinged(peer) for _ in range(plan["decisions"])],
        }
    rounds_us = []
    for _ in range(ROUNDS):
        since_s = time.process_time()
        for turn in range(DECISIONS):
            peer.leave(await peer.enter(*keys[turn % KEYS]))
        rounds_us.append((time.process_time() - since_s) / DECISIONS * 1e6)
    return {"each_us": rounds_us}


async def timed(peer: Peer, limiters: list[Any]) -> float:
    began_s = time.perf_counter()
    entered = await peer.enter(*limiters)
    took_us = (time.perf_counter() - began_s) * 1e6
    await asyncio.sleep(PAUSE_S)
    peer.leave(entered)
    await asyncio.sleep(PAUSE_S)
    return took_us


async def pinged(peer: Peer) -> float:
    began_s = time.perf_counter()
    await peer.ping()
    took_us = (time.perf_counter() - began_s) * 1e6
    await asyncio.sleep(PAUSE_S)
    return took_us


async def several(peer: Peer, _plan: dict[str, Any]) -> Any:
    """Five calls pass a limit of 10 and then one of 2; ten more pass only the first: how many of each begin?"""
    first = await peer.limiter("first", count=10, window_ms=4_000)
    second = await peer.limiter("second", count=2, window_ms=4_000)
    await warm_up(peer, 4.1)
    begun = {"both": 0, "one": 0}

    async def one(kind: str, *limiters: Any) -> None:
        await peer.enter(*limiters)
        begun[kind] += 1

    await go()
    calls = [asyncio.create_task(one("both", first, second)) for _ in range(5)]
    await asyncio.sleep(0.2)
    calls += [asyncio.create_task(one("one", first)) for _ in range(10)]
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    return begun


async def warm_up(peer: Peer, rest_s: float = 1.2) -> None:
    """Load scripts, and let a start be over: ours waits for a window after one."""
    entered = await peer.enter(await peer.limiter("warm", count=1_000, window_ms=1_000))
    peer.leave(entered)
    await asyncio.sleep(rest_s)


async def go() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


PEERS: dict[str, Callable[[], Peer]] = {
    "limits": Limits,
    "pyrate": Pyrate,
    "throttled": Throttled,
    "aiolimiter": Aiolimiter,
    "ours": Ours,
}
WORKS = {"burst": burst, "decide": decide, "several": several}


async def work(name: str) -> None:
    plan = json.loads(sys.stdin.readline())
    peer = PEERS[name]()
    await peer.open(plan["redis_url"])
    print(json.dumps(await WORKS[plan["work"]](peer, plan)), flush=True)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
