"""kill -9, SIGSTOP, a Redis that is emptied or frozen, a database that is away: is a limit of a service broken?

Question    Do the places of a process that dies come back, and does each limit hold at the service meanwhile?
Workload    Four processes over a Redis and a PostgreSQL of their own. In each, two loops make long calls (2 s, 4 at
            once in all), and two make short ones (30 in 8 s, which is kept in the database). One process is killed
            while it holds places; one is stopped for longer than the lease, and goes on; Redis is killed and starts
            empty; Redis is frozen for 5 s; the database is away for 5 s. One of the four is wired as the program is.
Measured    At the service: a call is over when it is answered, or its connection is gone.
Checked     Never more than 4 at once or 30 in 8 s; places back within the lease and a second. A stopped process
            cannot end its calls: the service may have as many more under way as it held, from the end of its lease
            until it goes on, and the callers of those get ``PlaceLost``.

    python -m bench.services.killed
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.harness import Checks, main
from bench.services.caller import SERVICE, Work
from bench.services.callers import Caller, Callers, callers
from bench.services.moody_server import MoodyServer, Served, at_once, moody_server, most_in_a_window
from tempogram.engine.services.redis.limiter import BEAT_S
from tempogram.engine.services.redis.scripts import LEASE_MS
from tempogram.storage.migrations import migrate
from tests.chaos.servers import OwnPostgres, OwnRedis, own_postgres, own_redis

PROCESSES = 4
LONG_S, AT_ONCE = 2.0, 4
LONGER_S = 20.0
"""Of calls that are not over when the lease of a stopped process ends."""

COUNT, WINDOW_MS = 30, 8_000
STOPPED_S = LEASE_MS / 1_000 + 3
AWAY_S = 5.0
NOTED_S = 0.25
"""How much later than it happened a busy machine may note the end of a call."""

DECLARED = f"""
[{SERVICE}]
timeout_s = 30
deadline_s = 60

[{SERVICE}.operations]
long = {{concurrency = {AT_ONCE}, idempotent = true}}
kept = {{count = {COUNT}, window_ms = {WINDOW_MS}, idempotent = true}}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The service, its callers, and what they stand on."""

    server: MoodyServer
    callers: Callers
    redis: OwnRedis
    speed: int = 1

    @property
    def lease_s(self) -> float:
        return LEASE_MS / 1_000 / self.speed

    @property
    def long(self) -> list[Served]:
        return [each for each in self.server.served if each.path == "/long"]


async def bench(checks: Checks, _broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with own_postgres() as postgres, scene(postgres) as of:
        await killed(checks, of)
        stopped = await stopped_and_continued(checks, of)
        await harmed(checks, of, "Redis killed and emptied", emptied(of.redis))
        await harmed(checks, of, f"Redis frozen for {AWAY_S:g} s", frozen(of.redis))
        await harmed(checks, of, f"the database away for {AWAY_S:g} s", database_away(postgres))
        check_limits(checks, of, stopped)


@asynccontextmanager
async def scene(postgres: OwnPostgres) -> AsyncIterator[Scene]:
    """Run four callers until the block ends, one of them as the program wires it."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(own_redis())
        server = await stack.enter_async_context(moody_server(PROCESSES, long=LONG_S))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await migrate(postgres.url)
        (folder / "services.toml").write_text(DECLARED, encoding="utf-8")
        works = [replace(each, database_url=postgres.url) for each in works_of(server, redis)]
        works[0] = replace(works[0], is_wired=True)
        wired = {"DATA_DIR": str(folder), "REDIS_URL": redis.url, "DATABASE_URL": postgres.url}
        started = await stack.enter_async_context(callers(works, wired))
        await started.all_well()
        await asyncio.sleep(2)
        yield Scene(server, started, redis)


@asynccontextmanager
async def short_scene(processes: int, speed: int) -> AsyncIterator[Scene]:
    """Run callers without a database until the block ends; their clocks go faster than the machine's."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(own_redis())
        server = await stack.enter_async_context(moody_server(processes, long=LONG_S / 2))
        works = [replace(each, speed=speed, loops={"long": AT_ONCE, "kept": 2}) for each in works_of(server, redis)]
        started = await stack.enter_async_context(callers(works))
        await started.all_well()
        yield Scene(server, started, redis, speed)


def works_of(server: MoodyServer, redis: OwnRedis) -> list[Work]:
    return [
        Work(
            name=f"caller-{door}",
            url=server.url(door),
            declared=DECLARED,
            redis_url=redis.url,
            calls_per_s={},
            loops={"long": 2, "kept": 2},
        )
        for door in range(len(server.ports))
    ]


async def killed(checks: Checks, of: Scene) -> None:
    """Kill a process that holds places; the others get them."""
    victim = of.callers.each[-1]
    held = await holding(of, victim)
    killed_s = time.time()
    victim.signal(signal.SIGKILL)
    await asyncio.sleep(of.lease_s + LONG_S)
    back_s = next((at_s for at_s, n in at_once(of.long) if at_s > killed_s + 0.5 and n == AT_ONCE), float("inf"))
    took_s = back_s - killed_s
    most_s = of.lease_s + BEAT_S
    checks.that(took_s <= most_s, f"killed with {held} places: all are used again after {took_s:.2f} s ({most_s:g})")


async def stopped_and_continued(checks: Checks, of: Scene) -> tuple[float, float, int]:
    """Stop a process that holds places; return when others could have them, when it went on, and how many it held."""
    victim = of.callers.each[-2]
    of.server.takes_s["/long"] = LONGER_S
    await asyncio.sleep(LONG_S)
    held = await holding(of, victim)
    of.server.takes_s["/long"] = LONG_S
    stopped_s = time.time()
    victim.signal(signal.SIGSTOP)
    await asyncio.sleep(STOPPED_S)
    goes_on_s = time.time()
    victim.signal(signal.SIGCONT)
    await asyncio.sleep(4)
    of_victim = [each for each in victim.ended if each.at_s >= goes_on_s and each.operation == "long"]
    lost = sum(each.outcome == "PlaceLost" for each in of_victim)
    checks.that(lost == held, f"stopped for {STOPPED_S:g} s with {held} places: {lost} of its calls got PlaceLost")
    well = sum(each.outcome == "200" for each in of_victim)
    checks.that(well > 0, f"it calls again: {well} calls answered within 4 s")
    return stopped_s + of.lease_s - BEAT_S, goes_on_s, held


async def holding(of: Scene, caller: Caller) -> int:
    """Wait until a process has just begun a long call, and return how many it has under way."""
    async with asyncio.timeout(60):
        while True:
            of_caller = [each for each in of.long if each.door == caller.number and not each.ended_at_s]
            if of_caller and time.time() - of_caller[-1].began_at_s < LONG_S / 2:
                return len(of_caller)
            await asyncio.sleep(0.02)


async def harmed(checks: Checks, of: Scene, what: str, harm: Awaitable[None]) -> None:
    """Do harm to what the callers stand on; afterwards all call as before."""
    began_s = time.time()
    await harm
    over_s = time.time()
    await asyncio.sleep(8)
    for path in ("/long", "/kept"):
        begun = [each.began_at_s for each in of.server.served if each.path == path and each.began_at_s >= over_s]
        first_s = min(begun, default=float("inf")) - over_s
        checks.that(len(begun) > AT_ONCE, f"{what}: the first {path[1:]} call began {first_s:.2f} s after")
    rest = {each.outcome for each in of.callers.between(began_s, time.time())} - {"200"}
    checks.that(not rest, f"{what}: no caller got anything but its answer {sorted(rest) or ''}")


async def emptied(redis: OwnRedis) -> None:
    await redis.kill()
    redis.forget()
    await redis.start()


async def frozen(redis: OwnRedis) -> None:
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(AWAY_S)
    finally:
        os.kill(redis.pid, signal.SIGCONT)


async def database_away(postgres: OwnPostgres) -> None:
    await postgres.stop()
    await asyncio.sleep(AWAY_S)
    await postgres.start()


def check_limits(checks: Checks, of: Scene, stopped: tuple[float, float, int] = (0, 0, 0)) -> None:
    """Check what the service saw of all of it."""
    lease_s, goes_on_s, held = stopped
    over = [(at_s, n) for at_s, n in at_once(of.long) if n > AT_ONCE]
    while_stopped = [n for at_s, n in over if lease_s <= at_s <= goes_on_s + NOTED_S]
    checks.that(
        len(over) == len(while_stopped),
        f"at most {AT_ONCE} long calls at once: {len(over) - len(while_stopped)} times more",
    )
    most = max(while_stopped, default=AT_ONCE)
    checks.that(most <= AT_ONCE + held, f"at most {most} while one with {held} places was stopped beyond its lease")
    kept = [each for each in of.server.served if each.path == "/kept"]
    window_s = WINDOW_MS / 1_000 / of.speed
    most = most_in_a_window(kept, window_s)
    checks.that(most <= COUNT, f"at most {COUNT} kept calls in {window_s:g} s: {most} ({len(kept)} in all)")


if __name__ == "__main__":
    main("A process or a server dies: do places come back, and does each limit hold?", bench)
