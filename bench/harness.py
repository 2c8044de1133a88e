"""Starts the simulator and the engine as processes of their own, and speaks to the engine as a user would.

With ``--roles`` the engine is an API, two workers and a scheduler, on a Redis and a PostgreSQL of their own.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.clean_exit import run_and_clean_up
from tempogram.bot.demo.process import EngineProcess, ProcessFailed
from tempogram.storage.migrations import migrate
from tests.chaos.servers import own_postgres, own_redis

BATCH = 10_000
ECHO = "tempogram.bot.behaviours.echo"
"""As ``BEHAVIOURS``: every bot repeats what it is sent."""

ROLES = ("api", "worker", "worker", "scheduler")


def token(number: int) -> str:
    return f"{number}:bench-token-{number}"


@dataclass
class Engine(EngineProcess):
    """An engine under load: one process, or the API with others beside it that live and die with it."""

    beside: Sequence[EngineProcess] = ()
    servers: Mapping[str, int] = field(default_factory=dict)  # ids of the processes of its servers

    async def start(self) -> None:
        await asyncio.gather(super().start(), *(each.start() for each in self.beside))

    async def kill(self) -> None:
        await asyncio.gather(super().kill(), *(each.kill() for each in self.beside))

    async def end(self) -> None:
        await asyncio.gather(super().end(), *(each.end() for each in self.beside))

    async def close(self) -> None:
        await asyncio.gather(super().close(), *(each.close() for each in self.beside))

    def cpu_s(self) -> dict[str, float]:
        """Tell how much of a processor each process has used."""
        used = {}
        for name, pid in self._own_pids().items():
            seconds = cpu_seconds(pid)
            assert seconds is not None, "CPU seconds are read from /proc"
            used[name] = seconds
        return used

    @property
    def pids(self) -> dict[str, int]:
        """Return the ids of its processes and of its servers."""
        return {**self._own_pids(), **self.servers}

    def _own_pids(self) -> dict[str, int]:
        pids = {}
        for number, each in enumerate((self, *self.beside), start=1):
            assert each.process is not None
            pids[f"{each.role} {number}"] = each.process.pid
        return pids

    async def submit(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(messages), BATCH):
            answers += await self.call("POST", "/messages/batch", messages[start : start + BATCH])
        refused = [answer for answer in answers if "error" in answer]
        assert not refused, f"{len(refused)} messages were refused, the first: {refused[0]}"
        return answers

    async def begun(self) -> None:
        """Wait until a worker has begun the queue."""
        while True:
            if await self._queued() is not None:
                return
            await asyncio.sleep(0.1)

    async def drained(self, *, within_s: float) -> bool:
        """Wait until nothing is queued; False if that takes longer."""
        until_s = time.monotonic() + within_s
        while await self._queued():
            if time.monotonic() > until_s:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _queued(self) -> int | None:
        """Count what is queued; None while no worker has begun the queue yet."""
        try:
            return int((await self.stats())["total_queued"])
        except ProcessFailed:
            self.must_run()
            return None


@asynccontextmanager
async def engine(
    telegram_url: str,
    tokens: Sequence[str],
    *,
    broken: bool = False,
    by_webhook: bool = False,
    as_roles: bool = False,
    module: str = "tempogram",
    **environment: str,
) -> AsyncIterator[Engine]:
    """Run an engine on a new database until the block ends; it polls, or gets its updates by webhook.

    ``as_roles``: many processes, also without ``--roles``.
    """
    module = "bench.broken_engine" if broken else module
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        as_roles = as_roles or has_roles()
        servers = await _servers(stack, environment) if as_roles else {}
        started, *beside = [
            Engine(telegram_url, _made(directory / f"{role}-{number}"), tokens, environment, module, role)
            for number, role in enumerate(ROLES if as_roles else ("run",))
        ]
        started.beside, started.servers = beside, servers
        if by_webhook:
            environment["PUBLIC_URL"] = started.url  # of all processes, which share this environment
        try:
            await started.start()
            await started.begun()
            yield started
        finally:
            await started.end()
            await started.close()


async def _servers(stack: AsyncExitStack, environment: dict[str, str]) -> dict[str, int]:
    """Start both, make the tables, put their addresses into the environment, and return their process ids."""
    redis, postgres = await stack.enter_async_context(own_redis()), await stack.enter_async_context(own_postgres())
    await migrate(postgres.url)
    environment |= {"REDIS_URL": redis.url, "DATABASE_URL": postgres.url}
    return {"Redis": redis.pid, "PostgreSQL": postgres.pid}


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def has_roles() -> bool:
    """Tell whether many processes are to be measured, by ``--roles``."""
    return "--roles" in sys.argv[1:]


def cpu_seconds(pid: int) -> float | None:
    """Read how much of a processor a process has used; None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return None
    # The name may hold blanks, and stands in brackets before everything else that is read here.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> str:
    model = platform.processor() or platform.machine()
    return f"Python {platform.python_version()}, {platform.system()} {model}, {os.cpu_count()} cores"


def spread(values: Sequence[float], unit: str, *, digits: int = 3) -> str:
    """Write a median and its range.

    >>> spread([1.0, 3.0, 2.0], "s", digits=1)
    '2.0 s (median of 3, 1.0 to 3.0)'
    """
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} {unit} (median of {len(values)}, {low:.{digits}f} to {high:.{digits}f})"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Checks:
    """Collects what a benchmark found wrong with its own result, so that one run shows everything."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def that(self, holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
        sys.stdout.write(f"  {'ok  ' if holds else 'FAIL'} {sentence}\n")
        if not holds:
            self.failed.append(sentence)


def _variant(*, broken: bool) -> str:
    words = [", as roles" if has_roles() else "", ", with a limiter broken on purpose" if broken else ""]
    return "".join(words)


def main(question: str, bench: Callable[[Checks, bool], Coroutine[Any, Any, None]]) -> None:
    """Run a benchmark; status 1 if a check failed. ``--broken`` puts a leaking limiter in place."""
    broken = "--broken" in sys.argv[1:]
    sys.stdout.write(f"{question}\n  {machine()}{_variant(broken=broken)}\n")
    checks = Checks()
    run_and_clean_up(bench(checks, broken))
    sys.exit(1 if checks.failed else 0)
