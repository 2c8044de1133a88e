"""Is a limit of a shipped service ever broken, and how much of it is used?

Question    Each shipped limit, under load, in one process and in four over Redis: does the service ever count more than
            it allows, and how many of the calls that an ideal client could make are made? And when its calls fail,
            after a restart of the clients in the middle of a window, and after FLUSHALL?
Workload    For each operation more callers than its limit lets through, by httpx and ``ServiceTransport``; the server
            answers after 2 to 6 ms, or after 1 s where calls at once are the limit. Long windows are scaled: the
            15 minutes of X to 6 s, the minute of a model's tokens to 10 s.
Measured    At a strict server, which counts a call anywhere between its arrival and its answer.
            Used: the time an ideal client needs for as many calls, of the time that they took; for calls at once, the
            time that places were taken, of all.
Checked     Nothing is refused, no window by arrival is fuller, no two calls are nearer, no more are under way than the
            limit says; 97 % used, unless other work keeps the machine's cores busy; retries were made, and calls after
            the restart and after FLUSHALL.
Not measured  Services that answer late. Where between beginning and answer they count is not known, so a window of
            1 s is used to 1 / (1 + answer in s) by a client that never breaks it. And a process that is stopped for
            longer than a fiftieth of a spacing between its place and its call: the next call comes too near.

    python -m bench.services.shipped_limits [--short]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.harness import Checks, main
from bench.services.processes import Clients, StrictServer, go_first, strict_server
from tests.chaos.servers import OwnRedis, own_postgres, own_redis

USED_MIN = 0.97
BUSY_LOAD = 2.0
"""Running processes for each core above which a limit cannot be used to the full; whether it is broken is judged."""

WARM_MS = 3_000
"""After the first call: what is used is measured from then on. The first calls wait for connections and imports."""

LONG_MS, TOKENS_MS = 6_000, 10_000

SCALED = {
    "x": {
        "operations": {"mentions": {"window_ms": LONG_MS}, "tweet_lookup": {"window_ms": LONG_MS}},
    },
    "llm": {"operations": {"chat": {"tokens": {"count": 10_000, "window_ms": TOKENS_MS}}}},
}
NEVER_OPEN = {"breaker": {"failures": 0}, "delay_s": 0.05}


@dataclass(frozen=True, slots=True)
class Phase:
    """Operations that are called at the same time.

    Attributes:
        load: Service, operation and callers in all.
        rules: What the server allows; see ``simulator.services.counts.Rule``.
        bound: The rules that hold the calls back; of the others nothing can be used to the full.
        tokens: What a call costs about, where the service counts tokens.
    """

    name: str
    load: tuple[tuple[str, str, int], ...]
    rules: tuple[dict[str, Any], ...]
    seconds: float
    manner: Mapping[str, Any]
    changes: Mapping[str, Any]
    bound: tuple[str, ...]
    tokens: int = 0

    @property
    def of_load(self) -> list[dict[str, Any]]:
        """Return the rules of the services that are called."""
        called = {service for service, _, _ in self.load}
        return [rule for rule in self.rules if rule["prefix"].split("/")[1] in called]


QUICK = {"hold_ms": [2, 6]}


def windows(**counts: tuple[int, int]) -> tuple[dict[str, Any], ...]:
    """Return rules: ``twilio__voice=(1, 1_000)``."""
    return tuple(
        {"name": _path(name), "prefix": f"/{_path(name)}", "count": count, "window_ms": window_ms}
        for name, (count, window_ms) in counts.items()
    )


def at_once(**most: int) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": f"{name} at once", "prefix": f"/{name}/", "concurrency": count} for name, count in most.items()
    )


def apart(**apart_ms: int) -> tuple[dict[str, Any], ...]:
    return tuple({"name": f"{name} apart", "prefix": f"/{name}/", "apart_ms": ms} for name, ms in apart_ms.items())


def _path(name: str) -> str:
    return name.replace("__", "/")


AT_ONCE = at_once(twilio=10, quickbase=5, database=20, llm=5, films=2)

LONG = Phase(
    "1 a second, long windows, spacing",
    (
        ("twilio", "voice", 4),
        ("twilio", "sms", 4),
        ("x", "mentions", 12),
        ("x", "tweet_lookup", 16),
        ("films", "availability", 4),
    ),
    (
        *windows(twilio__voice=(1, 1_000), twilio__sms=(1, 1_000)),
        *windows(x__mentions=(10, LONG_MS), x__tweet_lookup=(15, LONG_MS)),
        *apart(films=500),
        *AT_ONCE,
    ),
    20.0,
    QUICK,
    SCALED,
    ("twilio/voice", "twilio/sms", "x/mentions", "x/tweet_lookup", "films apart"),
)

QUICKBASE = Phase(
    "2 to 10 a second",
    (("quickbase", "queries", 12), ("quickbase", "records", 8), ("quickbase", "reports", 4)),
    (
        *windows(quickbase__queries=(10, 1_000), quickbase__records=(5, 1_000), quickbase__reports=(2, 1_000)),
        *AT_ONCE,
    ),
    14.0,
    QUICK,
    {},
    ("quickbase/queries", "quickbase/records", "quickbase/reports"),
)


def fast(service: str, operation: str) -> Phase:
    counts = {f"{service}__{operation}": (100, 1_000)}
    return Phase(
        "100 a second",
        ((service, operation, 20),),
        (*windows(**counts), *AT_ONCE),
        9.0,
        QUICK,
        {},
        (f"{service}/{operation}",),
    )


CHAT = Phase(
    "chat completions",
    (("llm", "chat", 8),),
    (*windows(llm__chat=(10, 1_000)), *apart(llm=200), *AT_ONCE),
    16.0,
    QUICK,
    SCALED,
    ("llm apart",),
    tokens=100,
)

TOKENS = replace(
    CHAT,
    name="chat completions that cost more tokens",
    rules=(
        {"name": "llm tokens", "prefix": "/llm/", "count": 10_000, "window_ms": TOKENS_MS, "unit": "tokens"},
        *CHAT.rules,
    ),
    bound=(),
    tokens=400,
)

PLACES = Phase(
    "calls at once",
    (
        ("twilio", "general", 20),
        ("quickbase", "queries", 8),
        ("quickbase", "records", 8),
        ("database", "queries", 32),
        ("films", "availability", 6),
        ("llm", "chat", 12),
    ),
    AT_ONCE,
    14.0,
    {"hold_ms": [1_000, 1_000]},
    # their spacing would let fewer begin than may be under way
    {"films": {"min_time": 100}, "llm": {"min_time": 100}},
    tuple(str(rule["name"]) for rule in AT_ONCE),
)

PHASES = (
    LONG,
    QUICKBASE,
    CHAT,
    TOKENS,
    fast("twilio", "taskrouter"),
    fast("twilio", "general"),
    fast("database", "queries"),
    PLACES,
)


def failing(phase: Phase) -> Phase:
    """Return a phase in which a fifth of the calls fails, and no breaker opens."""
    changes = {name: {**phase.changes.get(name, {}), **NEVER_OPEN} for name, _, _ in phase.load}
    return replace(
        phase,
        name=f"{phase.name}, a fifth fails",
        manner={**phase.manner, "failures": 0.2},
        changes=changes,
        bound=(),  # while many calls fail they are spaced out
    )


class Place:
    """Where one or several client processes call: with the servers that they share."""

    def __init__(self, processes: int, server: StrictServer, redis: OwnRedis | None, database: str) -> None:
        self.processes = processes
        self.server = server
        self.redis = redis
        self.database = database

    @property
    def name(self) -> str:
        return "one process" if self.redis is None else f"{self.processes} processes over Redis"

    def clients(self, phase: Phase) -> Clients:
        load = [(service, operation, -(-callers // self.processes)) for service, operation, callers in phase.load]
        order = {
            "server": self.server.url,
            "load": load,
            "services": phase.changes,
            "redis": self.redis.url if self.redis is not None else "",
            "database": self.database,
            "tokens": phase.tokens,
        }
        return Clients(self.processes, order)


async def judge_load(checks: Checks, place: Place, phase: Phase) -> None:
    report = await under_load(place, phase)
    print(f"  {place.name}, {phase.name}: answers {report['statuses']}")
    for name, seen in report["limits"].items():
        judge(checks, name, seen)
        if name in phase.bound:
            judge_use(checks, name, seen)
    if phase.manner.get("failures"):
        failed, calls = report["statuses"].get("500", 0), sum(report["statuses"].values())
        checks.that(failed > 0.1 * calls, f"{failed} of {calls} calls failed")


async def under_load(place: Place, phase: Phase) -> dict[str, Any]:
    """Let a phase go on from its first call, and return what the server saw."""
    await fresh(place, phase)
    async with place.clients(phase):
        await first_call(place.server)
        await asyncio.sleep(phase.seconds)
        return await place.server.report()


async def fresh(place: Place, phase: Phase) -> None:
    await place.server.begin({"rules": phase.of_load, "manner": phase.manner})
    if place.redis is not None:
        await place.redis.flush()


async def first_call(server: StrictServer, *, calls: int = 1, within_s: float = 60.0) -> None:
    """Wait for the first call, or for more."""
    async with asyncio.timeout(within_s):
        while sum((await server.report())["calls"].values()) < calls:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.1)


async def judge_restart(checks: Checks, place: Place, phase: Phase) -> None:
    """Kill the clients in the middle of a window, start them again, and let them go on."""
    await fresh(place, phase)
    async with place.clients(phase) as clients:
        await first_call(place.server)
        await asyncio.sleep(LONG_MS / 1_000 * 1.4)
        await clients.kill()
        before = await place.server.report()
        await clients.start()
        await asyncio.sleep(LONG_MS / 1_000 * 2.2)
        after = await place.server.report()
    judge_again(checks, f"{place.name}, {phase.name}: after a restart", before, after)


async def judge_flush(checks: Checks, place: Place, phase: Phase) -> None:
    """Empty Redis in the middle of a window."""
    assert place.redis is not None
    await fresh(place, phase)
    async with place.clients(phase):
        await first_call(place.server)
        await asyncio.sleep(LONG_MS / 1_000 * 1.4)
        before = await place.server.report()
        await place.redis.flush()
        await asyncio.sleep(LONG_MS / 1_000 * 2.2)
        after = await place.server.report()
    judge_again(checks, f"{place.name}, {phase.name}: after FLUSHALL", before, after)


def judge_again(checks: Checks, what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    print(f"  {what}: answers {after['statuses']}")
    for name, seen in after["limits"].items():
        judge(checks, name, seen)
        arrivals = seen["arrivals"]
        earlier = before["limits"][name]["arrivals"]
        if earlier:
            more = arrivals[len(earlier) :]
            pause = f", the first {more[0] - before['now_ms']:.0f} ms later" if more else ""
            checks.that(bool(more), f"    {name}: {len(more)} calls more{pause}")


def judge(checks: Checks, name: str, seen: Mapping[str, Any]) -> None:
    """Check that a limit was not broken."""
    rule, arrivals, refused = seen["rule"], seen["arrivals"], seen["refused"]
    broken = [f"{len(refused)} refused, first: {refused[0]['why']}"] if refused else []
    if rule["count"] and rule["unit"] == "calls" and seen["most_in_window"] > rule["count"]:
        broken.append(f"{seen['most_in_window']} arrived in {rule['window_ms']} ms")
    said = "; ".join(broken) or f"never broken in {len(arrivals)} calls"
    checks.that(not broken, f"  {name}: {said}")


def judge_use(checks: Checks, name: str, seen: Mapping[str, Any]) -> None:
    used, busy = used_of(seen), busy_machine()
    if used < USED_MIN and busy:
        print(f"  ?      {name}: {used:.1%} used, not judged: {busy}")
        return
    checks.that(used >= USED_MIN, f"    {name}: {used:.1%} used")


def busy_machine() -> str:
    """Return why what is used cannot be judged: processes that wait for a processor call late. Empty: it can be."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"the machine has {load:.0f} processes at work for {cores} cores" if load > BUSY_LOAD * cores else ""


def used_of(seen: Mapping[str, Any]) -> float:
    """Return the share of a limit that was used under load."""
    rule = seen["rule"]
    arrivals = [at_ms for at_ms in seen["arrivals"] if at_ms >= seen["arrivals"][0] + WARM_MS]
    if rule["concurrency"] and len(arrivals) > 1:
        return taken_share(seen["spans"], arrivals[0], arrivals[-1], rule["concurrency"])
    step = 1 if rule["apart_ms"] else rule["count"]
    whole = arrivals[: (len(arrivals) - 1) // step * step + 1]
    if len(whole) < 2:
        return 0.0
    ideal_ms = (len(whole) - 1) * (rule["apart_ms"] or rule["window_ms"] / rule["count"])
    return float(ideal_ms / (whole[-1] - whole[0]))


def taken_share(spans: Sequence[tuple[float, float]], from_ms: float, to_ms: float, places: int) -> float:
    """Return how much of the time of so many places calls took.

    >>> taken_share([(0, 600), (500, 1_500)], 500, 1_000, 2)
    0.6
    """
    busy_ms = sum(max(0.0, min(end_ms, to_ms) - max(begin_ms, from_ms)) for begin_ms, end_ms in spans)
    return busy_ms / (to_ms - from_ms) / places


@asynccontextmanager
async def one_process(server: StrictServer) -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(1, server, None, f"sqlite:///{Path(folder) / 'uses.db'}")


@asynccontextmanager
async def four_processes(server: StrictServer) -> AsyncIterator[Place]:
    async with own_redis() as redis, own_postgres() as postgres:
        yield Place(4, server, redis, postgres.url)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    del broken
    go_first()
    phases: Sequence[Phase] = (QUICKBASE,) if "--short" in sys.argv[1:] else PHASES
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(strict_server())
        for opened in (one_process, four_processes):
            place = await stack.enter_async_context(opened(server))
            for phase in phases:
                await judge_load(checks, place, phase)
            await judge_load(checks, place, failing(LONG))
            await judge_restart(checks, place, LONG)
            if place.redis is not None:
                await judge_flush(checks, place, LONG)


if __name__ == "__main__":
    main("Is a limit of a shipped service ever broken, and how much of it is used?", bench)
