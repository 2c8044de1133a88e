"""How often is one answer computed for which 1,000 callers of four processes ask at once?

Question    Is it once, also if Redis is emptied, or the process that computes it is killed? Is a stale answer returned
            while the service is away, and does anything fail while Redis is?
Workload    Four processes with 250 callers each ask ``services.get_or_set`` for one key; the service, on loopback,
            takes 2 s for an answer, or refuses connections. Redis, our own, is emptied (FLUSHALL), or stands still.
Measured    Calls that reach the service, as it counts them; what each caller got, and after how long.
Not measured  Another network than loopback.
Checked     One call each time; two after a kill; every caller of a living process gets the same answer.

    python -m bench.services.stampede
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from bench.harness import Checks, main
from bench.redis_clients import own_redis
from tempogram.bot.demo.process import free_port

PROCESSES, CALLERS = 4, 250
TAKES_S = 2.0
STALE_S = 600.0


class Shop:
    """The service: says a price, another one each time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.calls: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/{key}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.calls[key] += 1
        number = self.calls[key]
        await asyncio.sleep(TAKES_S)
        return web.json_response({"price": number})


class Caller:
    """One process that asks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, key: str, callers: int = CALLERS, **rules: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"key": key, "callers": callers, "ttl_s": 60, **rules}).encode() + b"\n")
        return await self.heard()

    async def heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            line = await self.process.stdout.readline()
        return json.loads(line) if line else {"got": {}, "seconds": 0.0}


@asynccontextmanager
async def callers_of(redis_url: str, port: int) -> AsyncIterator[list[Caller]]:
    callers = []
    try:
        for _ in range(PROCESSES):
            words = "-m", "bench.services.cache_caller", redis_url, f"http://127.0.0.1:{port}"
            pipe = asyncio.subprocess.PIPE
            callers.append(
                Caller(await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe))
            )
        for caller in callers:
            await caller.heard()
        yield callers
    finally:
        for caller in callers:
            if caller.process.returncode is None:
                caller.process.kill()
            await caller.process.wait()


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    if shutil.which("redis-server") is None:
        print("  no redis-server on the path; there is nothing to measure")
        return
    shop = Shop()
    await shop.open()
    async with own_redis() as (redis, url), callers_of(url, shop.port) as callers:
        await asyncio.sleep(2)  # limits wait for their window after a start
        await together(checks, shop, callers, "undisturbed")
        await together(checks, shop, callers, "emptied", emptying=redis)
        await killed(checks, shop, callers)
        await stale(checks, shop, callers[1:])
        await without_redis(checks, shop, callers[1:], redis)


async def together(checks: Checks, shop: Shop, callers: Sequence[Caller], key: str, *, emptying: Any = None) -> None:
    asking = [asyncio.create_task(each.ask(key)) for each in callers]
    if emptying is not None:
        await asyncio.sleep(TAKES_S / 2)
        await emptying.flushall()
    show(key, shop, seen := await asyncio.gather(*asking))
    checks.that(shop.calls[key] == 1, f"{key}: {shop.calls[key]} call for {PROCESSES * CALLERS} callers")
    checks.that(all_got(seen) == {"{'price': 1}": PROCESSES * CALLERS}, f"{key}: all got the same answer")


async def killed(checks: Checks, shop: Shop, callers: Sequence[Caller]) -> None:
    asking = [asyncio.create_task(callers[0].ask("killed"))]
    while not shop.calls["killed"]:  # noqa: ASYNC110 - the service is what is measured, and says nothing
        await asyncio.sleep(0.01)
    others = [asyncio.create_task(each.ask("killed")) for each in callers[1:]]
    await asyncio.sleep(TAKES_S / 2)
    assert callers[0].process.pid
    os.kill(callers[0].process.pid, signal.SIGKILL)
    await asyncio.gather(*asking)
    show("killed", shop, seen := await asyncio.gather(*others))
    checks.that(shop.calls["killed"] == 2, f"killed: {shop.calls['killed']} calls, one by a process that was killed")
    checks.that(len(all_got(seen)) == 1, "killed: all others got the same answer")


async def stale(checks: Checks, shop: Shop, callers: Sequence[Caller]) -> None:
    rules: dict[str, Any] = {"ttl_s": 0.5, "stale_if_error_s": STALE_S}
    await callers[0].ask("stale", 1, **rules)
    await asyncio.sleep(0.6)
    await shop.close()
    show("stale", shop, seen := await asyncio.gather(*(each.ask("stale", **rules) for each in callers)))
    wanted = {"{'price': 1}": len(callers) * CALLERS}
    checks.that(all_got(seen) == wanted, "stale: all got the stale answer while the service was away")
    await shop.open()


async def without_redis(checks: Checks, shop: Shop, callers: Sequence[Caller], redis: Any) -> None:
    key = "without"
    await redis.execute_command("CLIENT", "PAUSE", 6_000)
    asking = [asyncio.create_task(each.ask(key)) for each in callers]
    show(key, shop, seen := await asyncio.gather(*asking))
    is_answered = sum(all_got(seen).values()) == len(callers) * CALLERS
    checks.that(is_answered and all("price" in got for got in all_got(seen)), "Redis stands still for 6 s: no error")
    checks.that(shop.calls[key] <= len(callers), f"{key}: {shop.calls[key]} calls, at most one of each process")


def all_got(seen: Sequence[dict[str, Any]]) -> Counter[str]:
    got: Counter[str] = Counter()
    for each in seen:
        got.update(each["got"])
    return got


def show(key: str, shop: Shop, seen: Sequence[dict[str, Any]]) -> None:
    slowest_s = max(each["seconds"] for each in seen)
    print(f"  {key}: {sum(all_got(seen).values())} callers, {shop.calls[key]} calls, all after {slowest_s:.2f} s")


if __name__ == "__main__":
    main("How often is one answer computed for which 1,000 callers of four processes ask at once?", bench)
