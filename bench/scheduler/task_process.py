"""One process that runs tasks over a database, elected as the program has it; ``task_processes`` starts it.

It notes each run in a file of its own, where neither its death nor a cut connection can take it away. Its clock is off
by as many milliseconds as another file says.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tempogram.engine.failover.leader_election import while_leading
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.storage.database.database import Database
from tempogram.storage.processes.leadership import UPKEEP_LOCK, leadership
from tempogram.storage.scheduler.tasks import SqlTaskStore


@dataclass(frozen=True, slots=True)
class Kind:
    """A task: how often it is due, how long it lasts, and whether a lost run is repeated."""

    name: str
    interval_ms: int
    lasts_ms: int
    is_idempotent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        notes: The file to which it adds a line for each beginning and end of a run.
        off: The file with how far its clock is off.
        is_broken: It begins each run, whether it leads or not, and whatever the database says.
    """

    name: str
    url: str
    notes: str
    off: str
    kinds: list[Kind] = field(default_factory=list)
    is_broken: bool = False


class SteppedClock:
    """The machine's clock, off by what a file says."""

    def __init__(self, off: Path) -> None:
        self._off = off

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + int(self._off.read_text(encoding="ascii") or "0")


class Unfenced(SqlTaskStore):
    """Lets each run begin, whatever the database says."""

    async def step(self, step: Any) -> bool:
        return await super().step(step) or bool(step.sets.get("run_id"))


class TaskProcess:
    """Its scheduler, with tasks that note what they do."""

    def __init__(self, work: Work, database: Database) -> None:
        self._work = work
        self._notes = os.open(work.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        store = (Unfenced if work.is_broken else SqlTaskStore)(database)
        tasks = [
            Task(
                name=kind.name,
                times=Every(kind.interval_ms),
                work=self._running(kind),
                is_idempotent=kind.is_idempotent,
                pause_after=0,
            )
            for kind in work.kinds
        ]
        self.scheduler = Scheduler(tasks, store, process=work.name, clock=SteppedClock(Path(work.off)))

    async def lead(self) -> None:
        self._note("leads")
        await self.scheduler.lead()

    def _running(self, kind: Kind) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            of = self.scheduler._entries[kind.name].run  # noqa: SLF001 - a task does not know which run of it this is
            words = (kind.name, of.due_ms, of.run_id) if of is not None else (kind.name, 0, "")
            self._note("begins", *words)
            try:
                await asyncio.sleep(kind.lasts_ms / 1_000)
            finally:
                self._note("ends", *words)

        return run

    def _note(self, what: str, *words: object) -> None:
        line = json.dumps([time.time_ns() // 1_000_000, self._work.name, what, *words])
        os.write(self._notes, line.encode() + b"\n")


async def run(work: Work) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = await Database.open(work.url)
    process = TaskProcess(work, database)
    async with leadership(work.url, UPKEEP_LOCK) as lock, asyncio.TaskGroup() as group:
        group.create_task(process.scheduler.run())
        group.create_task(process.lead() if work.is_broken else while_leading(lock, process.lead))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(run(Work(**given | {"kinds": [Kind(**kind) for kind in given["kinds"]]})))
