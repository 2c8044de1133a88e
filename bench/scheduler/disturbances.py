"""What is done to processes that run tasks, at random by a seed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field

import asyncpg
from sqlalchemy import make_url

from bench.scheduler.task_processes import TaskProcesses

NEAR_S = 0.05
PAUSE_S = (1.5, 4.0)
"""Between two disturbances."""

FROZEN_S = (5.0, 20.0)
STEPS_MS = (-3_600_000, -7_000, 7_000, 3_600_000)

DUE_NEXT = "SELECT min(next_due_ms) FROM tasks WHERE next_due_ms > $1"
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < $1
"""


@dataclass
class Disturbances:
    """Disturbs one thing after another.

    Attributes:
        frozen: Which process was stopped from when to when, in seconds since the epoch.
    """

    processes: TaskProcesses
    chance: random.Random
    frozen_s: tuple[float, float] = FROZEN_S
    counts: dict[str, int] = field(default_factory=dict)
    frozen: list[tuple[str, float, float]] = field(default_factory=list)

    async def go_on(self, seconds: float) -> None:
        """Disturb for so long."""
        over_s = time.monotonic() + seconds
        kinds = [self.kill, self.kill_near, self.kill, self.kill_near, self.freeze, self.step, self.cut]
        for number, disturb in enumerate(self.chance.sample(kinds, len(kinds)) + kinds * 100):
            if time.monotonic() > over_s:
                return
            await (disturb if number < len(kinds) else self.chance.choice(kinds))()
            await asyncio.sleep(self.chance.uniform(*PAUSE_S))

    async def kill(self) -> None:
        """Kill the leader at any time."""
        self._count("killed")
        await self._replace(self.processes.leader())

    async def kill_near(self) -> None:
        """Kill the leader within ``NEAR_S`` of a due time."""
        self._count("killed near a due time")
        victim = self.processes.leader()
        due_s = (await self._ask(DUE_NEXT, int(time.time() * 1_000) + 60) or 0) / 1_000
        await asyncio.sleep(max(0.0, due_s - time.time() + self.chance.uniform(-NEAR_S, NEAR_S)))
        await self._replace(victim)

    async def freeze(self) -> None:
        """Stop the leader for a while; its connections stay open."""
        self._count("frozen")
        victim, began_s = self.processes.leader(), time.time()
        self.processes.signal(victim, signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(*self.frozen_s))
        self.processes.signal(victim, signal.SIGCONT)
        self.frozen.append((victim, began_s, time.time()))

    async def step(self) -> None:
        """Step the clock of a process."""
        self._count("clock stepped")
        self.processes.step_clock(self.chance.choice(list(self.processes.running)), self.chance.choice(STEPS_MS))

    async def cut(self) -> None:
        """Cut half of the connections to the database, or all."""
        self._count("connections cut")
        await self._ask(CUT, self.chance.choice((0.5, 1.0)))

    async def _replace(self, name: str) -> None:
        await self.processes.kill(name)
        await asyncio.sleep(self.chance.uniform(0.1, 1.0))
        await self.processes.start()

    async def _ask(self, query: str, *words: float) -> int | None:
        connection = await asyncpg.connect(dsn=_dsn(self.processes.url))
        try:
            answer: int | None = await connection.fetchval(query, *words)
            return answer
        finally:
            await connection.close()

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
