"""The processes, started by the command line as a user would, and started again when they end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import cpu_seconds
from tempogram.bot.demo.process import EngineProcess
from tests.chaos.proxy import Proxy
from tests.chaos.servers import OwnPostgres, OwnRedis

SUPERVISED_EVERY_S = 0.2
RESTARTS_AFTER_S = 0.5
ANSWERS_IN_S = 0.5


@dataclass(slots=True)
class SupervisedProcess:
    """One process and its connections to the servers.

    Attributes:
        name: Its role and a number.
        own_ends: How often it ended without being killed, after it was up. (One that cannot reach its servers
            at its start may log that and end.)
    """

    name: str
    process: EngineProcess
    redis: Proxy
    postgres: Proxy
    restarts: int = 0
    unexpected_ends: int = 0
    cpu_s: float = 0.0
    _was_up: bool = True
    _is_killed: bool = False

    async def kill(self) -> None:
        """Kill it with SIGKILL; the supervisor starts it again."""
        self._is_killed = True
        self.add_cpu()
        await self.process.kill()

    async def freeze(self, for_s: float) -> None:
        """Stop it with SIGSTOP for a while."""
        assert self.process.process is not None
        pid = self.process.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            if self.process.is_running and self.process.process.pid == pid:
                os.kill(pid, signal.SIGCONT)

    async def restart_if_ended(self) -> None:
        """Start it again if it has ended."""
        if self.process.is_running:
            self._was_up = self._was_up or await self._is_up()
            return
        self.unexpected_ends += self._was_up and not self._is_killed
        self._was_up = self._is_killed = False
        self.restarts += 1
        await asyncio.sleep(RESTARTS_AFTER_S)
        await self.process.spawn()

    async def _is_up(self) -> bool:
        try:
            return await asyncio.wait_for(self.process.answers(), ANSWERS_IN_S)
        except TimeoutError:
            return False

    def add_cpu(self) -> None:
        """Add the CPU time it has used, before its process id is forgotten."""
        if self.process.process is not None:
            self.cpu_s += cpu_seconds(self.process.process.pid) or 0.0


@dataclass(slots=True)
class Processes:
    """All processes of a run."""

    members: Sequence[SupervisedProcess]

    @property
    def apis(self) -> list[EngineProcess]:
        return [member.process for member in self.members if member.process.role in {"api", "run"}]

    @property
    def senders(self) -> list[SupervisedProcess]:
        return [member for member in self.members if member.process.role in {"worker", "run"}]

    async def supervise(self) -> None:
        """Start again whatever ends, until cancelled."""
        while True:
            await asyncio.gather(*(member.restart_if_ended() for member in self.members))
            await asyncio.sleep(SUPERVISED_EVERY_S)


@asynccontextmanager
async def running_processes(
    folder: Path,
    roles: Sequence[str],
    *,
    telegram_url: str,
    tokens: Sequence[str],
    redis: OwnRedis | None,
    postgres: OwnPostgres,
    environment: Mapping[str, str],
) -> AsyncIterator[Processes]:
    """Start one process of each role, and wait until each answers; when the block ends, none is left.

    Without a Redis the only role may be ``run``.
    """
    async with AsyncExitStack() as stack:
        members = []
        for number, role in enumerate(roles, start=1):
            to_redis, to_postgres = Proxy(redis.port if redis else 0), Proxy(postgres.port)
            await stack.enter_async_context(to_redis.serve())
            await stack.enter_async_context(to_postgres.serve())
            own = {"DATABASE_URL": postgres.url.replace(str(postgres.port), str(to_postgres.port))}
            if redis is not None:
                own["REDIS_URL"] = redis.url.replace(str(redis.port), str(to_redis.port))
            name = f"{role}-{number}"
            (folder / name).mkdir()
            process = EngineProcess(
                telegram_url, folder / name, tokens, {**environment, **own}, role=role, log_file=folder / f"{name}.log"
            )
            stack.push_async_callback(process.close)
            members.append(SupervisedProcess(name, process, to_redis, to_postgres))
        await asyncio.gather(*(member.process.start() for member in members))
        yield Processes(members)
