"""An API, two workers, a scheduler and 50 idle bots: what do they cost?

Question    What does a process of each role take to start, and what do all of them ask of PostgreSQL and of Redis while
            nothing happens?
Workload    None: 50 bots on the simulator, polled; no update and no message, for a minute. The tables are there before
            the start: the process that makes them keeps Alembic in its memory, once.
Measured    When all roles serve: CPU seconds and resident memory of each process, from /proc. Then, over the minute:
            commits of the database (``pg_stat_database``) and the statements in PostgreSQL's log; commands that Redis
            processed (``INFO commandstats``), those inside scripts too; CPU and memory of each process.
Not measured  A busy fleet, and what PostgreSQL does by itself.
Checked     A worker: at most 100 MB and 2 s of CPU when it serves. All together: at most 100 commits and 120 commands a
            minute. No process restarted, no condition holds.

    python -m bench.idle [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from redis.asyncio import Redis

from bench.harness import Checks, Engine, engine, main, token
from tempogram.simulator.client import running_simulator

BOTS = 50
WORKER_MB, WORKER_S = 100, 2.0
COMMITS, COMMANDS = 100, 120
"""At most so many a minute."""

CALM_S = 12.0
"""After the start, until what it began is done, and counted: a session tells PostgreSQL each 10 s at the latest."""

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Look:
    """What was counted until one moment; ``statements`` by their text."""

    commits: int
    commands: Mapping[str, int]
    statements: Mapping[str, int]
    cpu_s: Mapping[str, float]

    def since(self, before: Look) -> Look:
        return Look(
            self.commits - before.commits,
            _less(self.commands, before.commands),
            _less(self.statements, before.statements),
            {name: used_s - before.cpu_s[name] for name, used_s in self.cpu_s.items()},
        )


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing is sent
    tokens = [token(number) for number in range(1, BOTS + 1)]
    async with running_simulator() as telegram, engine(telegram.url, tokens, as_roles=True) as tempogram:
        started, mb = tempogram.cpu_s(), memory(tempogram)
        for name, used_s in started.items():
            print(f"  {name} serves after {used_s:.2f} s of CPU, with {mb[name]:.0f} MB")
            if name.startswith("worker"):
                checks.that(used_s <= WORKER_S, f"{name}: {used_s:.2f} s of CPU, at most {WORKER_S}")
                checks.that(mb[name] <= WORKER_MB, f"{name}: {mb[name]:.0f} MB, at most {WORKER_MB}")
        await idle(checks, tempogram)


async def idle(checks: Checks, tempogram: Engine) -> None:
    seconds = seconds_asked()
    postgres = await asyncpg.connect(tempogram.environment["DATABASE_URL"].replace("+asyncpg", ""))
    async with Redis.from_url(tempogram.environment["REDIS_URL"]) as redis:
        await postgres.execute("ALTER SYSTEM SET log_statement = 'all'")
        await postgres.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(CALM_S)
        before = await look(tempogram, postgres, redis)
        await asyncio.sleep(seconds)
        used, mb = (await look(tempogram, postgres, redis)).since(before), memory(tempogram)
    await postgres.close()
    for name, used_s in used.cpu_s.items():
        print(f"  {name}: {used_s * 60 / seconds:.2f} s of CPU a minute, {mb[name]:.0f} MB")
    for unit, counted in (("statements", used.statements), ("commands", used.commands)):
        print(f"  {unit} in {seconds:.0f} s, of {sum(counted.values())}:")
        for text, count in Counter(counted).most_common(SHOWN):
            print(f"    {count:5} {text}")
    commits, commands = used.commits * 60 / seconds, sum(used.commands.values()) * 60 / seconds
    checks.that(commits <= COMMITS, f"{commits:.0f} commits a minute, at most {COMMITS}")
    checks.that(commands <= COMMANDS, f"{commands:.0f} Redis commands a minute, at most {COMMANDS}")
    conditions = (await tempogram.call("GET", "/health"))["conditions"]
    checks.that(not conditions, f"no condition holds: {conditions}")


async def look(tempogram: Engine, postgres: asyncpg.Connection, redis: Redis) -> Look:
    commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    log = Path(await postgres.fetchval("SHOW data_directory")).parent / "words"
    of_commands = await redis.info("commandstats")
    of_commands.pop("cmdstat_info", None)  # this one
    return Look(
        commits=await postgres.fetchval(commits),
        commands={name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in of_commands.items()},
        statements=statements(log.read_text(errors="replace")),
        cpu_s=tempogram.cpu_s(),
    )


def statements(log: str) -> Counter[str]:
    r"""Count the statements in PostgreSQL's log by their first words.

    >>> statements("LOG:  execute __stmt_1__: SELECT\n\t  1\nDETAIL:  parameters: $1 = '2'\nLOG:  statement: BEGIN")
    Counter({'SELECT 1': 1, 'BEGIN': 1})
    """
    found = re.findall(r"LOG:  (?:statement|execute [^:]*): ((?:.*)(?:\n\t.*)*)", log)
    return Counter(" ".join(text.split())[:110] for text in found)


def memory(tempogram: Engine) -> dict[str, float]:
    """Return how many megabytes of each process are resident; what several share counts for each."""
    pids = tempogram.pids
    return {name: _resident_mb(pids[name]) for name in tempogram.cpu_s()}


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1_024


def _less(counted: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in counted.items() if count > before.get(name, 0)}


def seconds_asked() -> float:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    return float(parser.parse_known_args()[0].seconds)


if __name__ == "__main__":
    main("50 idle bots: what do an API, two workers and a scheduler cost?", bench)
