"""A run from the first process to the judgement."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tempogram.bot.demo.process import EngineProcess
from tempogram.engine.brokers.redis.scripts import scripts
from tempogram.engine.model.messages import OPEN
from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.chaos.disturbances import Disturber
from tests.chaos.evidence import Arrival, Evidence, MessageEnd, SlowScript, Trouble, Violation
from tests.chaos.isolation.probes import Probes
from tests.chaos.isolation.troubles import Troubles
from tests.chaos.judge import Judgement, judge, silences
from tests.chaos.load import Load, now_ms, session
from tests.chaos.plan import Plan
from tests.chaos.processes import Processes, running_processes
from tests.chaos.proxy import Proxy
from tests.chaos.servers import OwnPostgres, OwnRedis, SlowCommand, own_postgres, own_redis
from tests.chaos.telegram_faults import TelegramFaults

SLOW_ASKED_EVERY_S = 0.2
CANCELLED_IN_S = 30.0
"""Servers that are started again take their time."""
SILENCE_MS = 2_000
"""Longer than any wait of this load when all is well."""


@dataclass(slots=True)
class Environment:
    """The processes and servers of a run."""

    plan: Plan
    telegram: RunningSimulator
    to_telegram: Proxy
    processes: Processes
    redis: OwnRedis | None
    postgres: OwnPostgres
    slow: dict[tuple[int, int], SlowScript] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judgement, and notes for the report."""

    judgement: Judgement
    notes: Sequence[str]


async def chaos(plan: Plan, *, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Run the plan; the output of all processes is in ``folder`` then."""
    started_s = time.monotonic()

    def report(words: str) -> None:
        say(f"{time.monotonic() - started_s:6.1f} s  {words}")

    async with environment(plan, folder) as built, session() as client:
        report(f"{len(built.processes.members)} processes, {plan.bots} bots, {plan.bots * plan.chats_a_bot} chats")
        load = Load(plan, built.processes.apis, client, random.Random(plan.seed))
        troubles = Troubles(plan, built.telegram, built.to_telegram, load, random.Random(plan.seed + 3))
        disturber = Disturber(
            plan, built.processes, built.redis, built.postgres, troubles, random.Random(plan.seed + 1), report
        )
        faults = TelegramFaults(built.telegram, plan.bots_with_faults, random.Random(plan.seed + 2))
        supervising = asyncio.create_task(built.processes.supervise())
        watching = [asyncio.create_task(watch_slow(built.redis, built.slow))] if built.redis else []
        submitting = asyncio.gather(load.run(), Probes(plan, load).run())
        await _for_a_while([disturber.run(), faults.run()], plan.seconds)
        report("the disturbances are over")
        await built.telegram.end_faults()
        load.stop()
        await submitting
        await troubles.finish()
        report(f"{len(load.promised)} messages were accepted")
        ended = await load.ended(within_s=plan.drains_within_s)
        report(f"{sum(each.status in OPEN for each in ended.values())} of them are open")
        evidence = await gathered(built, load, disturber, [*faults.ordered, *troubles.performed], ended)
        keep(folder, evidence, load, await built.postgres.attempts())
        await _end([supervising, *watching])
        for member in built.processes.members:
            member.add_cpu()
        notes = [
            f"{member.name}: {member.cpu_s:.1f} s of CPU, started {member.restarts} times again"
            for member in built.processes.members
        ]
        notes.append(f"submitted again without an answer: {load.tried_again}; refused: {dict(load.refused)}")
        started_ms = now_ms() - (time.monotonic() - started_s) * 1_000
        notes += [
            f"nothing arrived from {(from_ms - started_ms) / 1_000:.1f} s to {(until_ms - started_ms) / 1_000:.1f} s"
            for from_ms, until_ms in silences(evidence.arrivals, SILENCE_MS)
        ]
        return Outcome(judge(evidence), notes)


@asynccontextmanager
async def environment(plan: Plan, folder: Path) -> AsyncIterator[Environment]:
    """Set up servers, the simulator, the tables and the processes."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(own_redis()) if plan.has_redis else None
        postgres = await stack.enter_async_context(own_postgres())
        telegram = await stack.enter_async_context(running_simulator(**plan.simulator))
        to_telegram = Proxy(urlsplit(telegram.url).port or 0)
        await stack.enter_async_context(to_telegram.serve())
        await migrated(postgres, telegram.url)
        built = await stack.enter_async_context(
            running_processes(
                folder,
                plan.roles,
                telegram_url=f"http://127.0.0.1:{to_telegram.port}",
                tokens=plan.tokens,
                redis=redis,
                postgres=postgres,
                environment=plan.environment,
            )
        )
        yield Environment(plan, telegram, to_telegram, built, redis, postgres)


async def migrated(postgres: OwnPostgres, telegram_url: str) -> None:
    """Make the tables, as a deployment does."""
    with tempfile.TemporaryDirectory() as folder:
        process = EngineProcess(telegram_url, Path(folder), (), {"DATABASE_URL": postgres.url}, role="migrate")
        await process.spawn()
        assert process.process is not None
        status = await process.process.wait()
        await process.close()
    assert status == 0, "the tables could not be made"


async def watch_slow(redis: OwnRedis, noted: dict[tuple[int, int], SlowScript]) -> None:
    """Keep what Redis logs as slow; its log ends with it."""
    pid, waited_us = redis.pid, redis.waited_us()
    while True:
        waited_before_us = waited_us if redis.pid == pid else 0
        pid, slow, waited_us = redis.pid, await redis.slow(), redis.waited_us()
        for each in slow:
            if each.words.startswith("EVAL"):
                noted.setdefault((pid, each.number), slow_script(each, waited_us - waited_before_us))
        await asyncio.sleep(SLOW_ASKED_EVERY_S)


async def gathered(
    built: Environment,
    load: Load,
    disturber: Disturber,
    troubles: Sequence[Trouble],
    ended: Mapping[str, MessageEnd],
) -> Evidence:
    """Collect what Telegram saw, what the API says, and what was done."""
    calls: list[dict[str, Any]] = []
    while page := await built.telegram.calls(since=len(calls)):
        calls += page
    report = await built.telegram.report()
    ahead_ms = calls[0]["wall_ms"] - calls[0]["at_ms"] if calls else 0.0
    listed = [
        Violation(window=each.window, at_ms=each.at_ns / 1e6 + ahead_ms, bot_id=each.bot_id, chat_id=each.chat_id)
        for each in report.violations_listed
    ]
    return Evidence(
        promised=load.promised,
        ended=ended,
        arrivals=[_arrival(call) for call in calls if call["method"] == "sendMessage"],
        violations=listed,
        violations_unlisted=sum(report.violations.values()) - len(listed),
        disturbances=disturber.performed,
        troubles=troubles,
        terms=built.plan.terms,
        slow_scripts=list(built.slow.values()),
        unexpected_ends=[member.name for member in built.processes.members for _ in range(member.unexpected_ends)],
    )


def keep(folder: Path, evidence: Evidence, load: Load, attempts: Sequence[Mapping[str, Any]]) -> None:
    """Write all evidence to a file, to look into a broken promise."""
    everything = asdict(evidence) | {"ended": None, "end_states": load.end_states, "attempts": attempts}
    (folder / "evidence.json").write_bytes(msgspec.json.encode(everything))


def slow_script(slow: SlowCommand, waited_us: int) -> SlowScript:
    """Name a script by its verb; a server that does not know it yet is sent all of it, and reads it first."""
    verbs = {script.sha: verb for verb, script in scripts().items()}
    command, sha = slow.words.split()[:2]
    name = verbs.get(sha, sha) if command == "EVALSHA" else "a script's first call"
    return SlowScript(name, took_ms=slow.took_us / 1_000, waited_ms=waited_us / 1_000)


def _arrival(call: dict[str, Any]) -> Arrival:
    same = {name: call[name] for name in ("bot_id", "chat_id", "text", "code", "cost", "lost")}
    return Arrival(at_ms=call["wall_ms"], **same)


async def _for_a_while(works: Sequence[Coroutine[Any, Any, None]], seconds: float) -> None:
    """Let them work for a time, and cancel them; one that fails ends the run."""
    tasks = [asyncio.create_task(work) for work in works]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    await _end(tasks)
    for task in done:
        task.result()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: ``wait_for`` of Python 3.11 may swallow a cancellation."""
    while alive := [task for task in tasks if not task.done()]:
        for task in alive:
            task.cancel()
        await asyncio.wait(alive, timeout=CANCELLED_IN_S)


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
