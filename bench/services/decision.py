"""What does it cost to decide that a call may begin, in one process and over Redis?

Question    How long does a call wait that need not wait, with four limiters: operation, service, tenant and tokens?
Workload    A call begins and ends, 150 times a second, as its window of 200 a second is nearly full then; 5 rounds. In
            memory a virtual clock goes as fast. Over Redis before each call a script that does nothing is run on the
            same connection, so that a ratio stands whatever else the machine does. Then 64 callers at once, without a
            pause, within limits that hold up none.
Measured    Time of ``begin``, and of ``begin`` and ``end`` together; of Redis its own time in a script (INFO
            commandstats), and calls a second under load.
Not measured  A network between, the database, the call itself.
Checked     Nothing has waited, and no place is taken in the end. In memory ``begin`` and ``end`` take 30 us at most,
            over Redis ``begin`` takes 3 times as long as a script that does nothing. Aimed at: 15 us, and 0.3 ms.

    python -m bench.services.decision

It starts a redis-server of its own; without one it is left out and said so.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from itertools import count
from statistics import median

from redis.asyncio import Redis

from bench.harness import Checks, main, spread
from bench.redis_clients import own_redis
from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.limiter import CallLimiter, MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter

QUESTION = "What does it cost to decide that a call may begin, in one process and over Redis?"
ROUNDS, IN_MEMORY, OVER_REDIS = 5, 20_000, 400
A_SECOND = 150
CALLERS, UNDER_LOAD = 64, 4_000
MEMORY_US_MAX, RATIO_MAX = 30, 3.0


def charges(name: str, a_second: int, at_once: int) -> tuple[Charge, ...]:
    return (
        Charge(Limiter(f"{name}:chat", CallLimit(count=a_second, window_ms=1_000))),
        Charge(Limiter(name, CallLimit(concurrency=at_once))),
        Charge(Limiter(f"{name}@tenant", CallLimit(count=100 * a_second, window_ms=60_000))),
        Charge(Limiter(f"{name}:chat:tokens", CallLimit(count=10**8, window_ms=60_000)), 1_200),
    )


FULL, WIDE = charges("llm", 200, 5), charges("wide", 10**6, 1_000)


async def bench(checks: Checks, _: bool) -> None:  # noqa: FBT001 - see main
    await in_memory(checks)
    if shutil.which("redis-server") is None:
        print("  LEFT OUT: no redis-server on the path")
        return
    async with own_redis() as (redis, _url):
        await over_redis(redis, checks)


async def in_memory(checks: Checks) -> None:
    numbers = count()
    limiter = MemoryCallLimiter(clock=lambda: 1_700_000_000_000 + next(numbers) * 500 // A_SECOND, after_start=False)
    begin_us, both_us = [], []
    for _ in range(ROUNDS):
        took = [await begin_and_end(limiter, FULL) for _ in range(IN_MEMORY)]
        begin_us.append(median(begin for begin, _ in took) * 1e6)
        both_us.append(median(both for _, both in took) * 1e6)
    print(f"  in memory: begin {spread(begin_us, 'us', digits=1)}; begin and end {spread(both_us, 'us', digits=1)}")
    checks.that(limiter.waiting == 0, "nothing waits in the end")
    checks.that(median(both_us) <= MEMORY_US_MAX, f"begin and end take {MEMORY_US_MAX} us at most")


async def over_redis(redis: Redis, checks: Checks) -> None:
    limiter = RedisCallLimiter(redis, "bench")
    await begin_and_end(limiter, FULL)  # as the queue has just begun, this waits
    await begin_and_end(limiter, WIDE)
    bare_ms, begin_ms, ratios, script_us = [], [], [], []
    for _ in range(ROUNDS):
        bare, begin = [], []
        await redis.config_resetstat()
        for _ in range(OVER_REDIS):
            bare.append(await nothing(redis))
            began_s, _both = await begin_and_end(limiter, FULL)
            begin.append(began_s)
            await asyncio.sleep(1 / A_SECOND)
        script_us.append(await script_time_us(redis))
        bare_ms.append(median(bare) * 1e3)
        begin_ms.append(median(begin) * 1e3)
        ratios.append(begin_ms[-1] / bare_ms[-1])
    print(f"  over Redis: begin {spread(begin_ms, 'ms')}; a script that does nothing {spread(bare_ms, 'ms')}")
    print(f"  {spread(ratios, 'times as long')}; in the script {spread(script_us, 'us', digits=0)}")
    await under_load(redis, limiter)
    checks.that(await is_all_free(redis), "no call is known to Redis in the end")
    checks.that(median(ratios) <= RATIO_MAX, f"begin takes {RATIO_MAX} times as long at most as a script of nothing")
    await limiter.close()


async def under_load(redis: Redis, limiter: CallLimiter) -> None:
    each = UNDER_LOAD // CALLERS
    rates, script_us = [], []
    for _ in range(ROUNDS):
        await redis.config_resetstat()
        since_s = time.perf_counter()
        await asyncio.gather(*(some_calls(limiter, each) for _ in range(CALLERS)))
        rates.append(each * CALLERS / (time.perf_counter() - since_s))
        stats = (await redis.info("commandstats"))["cmdstat_evalsha"]
        script_us.append(stats["usec"] / (each * CALLERS))
    print(f"  {CALLERS} callers: {spread(rates, 'calls a second', digits=0)}")
    print(f"  in the script {spread(script_us, 'us for each call', digits=0)}")


async def some_calls(limiter: CallLimiter, number: int) -> None:
    for _ in range(number):
        await begin_and_end(limiter, WIDE)


async def begin_and_end(limiter: CallLimiter, charged: tuple[Charge, ...]) -> tuple[float, float]:
    """Return how long a call waited for its places, and how long that and giving them back took."""
    call = Call(charged)
    since_s = time.perf_counter()
    await limiter.begin(call)
    began_s = time.perf_counter()
    limiter.end(call)
    return began_s - since_s, time.perf_counter() - since_s


async def nothing(redis: Redis) -> float:
    since_s = time.perf_counter()
    await redis.eval("return 1", 0)
    return time.perf_counter() - since_s


async def script_time_us(redis: Redis) -> float:
    """Return how long Redis took for one exchange."""
    return float((await redis.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"])


async def is_all_free(redis: Redis) -> bool:
    for _ in range(100):
        if not await redis.exists("{svc0}:calls"):
            return True
        await asyncio.sleep(0.01)
    return False


if __name__ == "__main__":
    main(QUESTION, bench)
