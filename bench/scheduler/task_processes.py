"""Starts processes that run tasks, reads what they note, and does them harm."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.scheduler.task_process import Kind, Work
from tests.storage.servers import own_postgres


@dataclass(frozen=True, slots=True)
class Note:
    """What a process noted: that it leads, or that a run begins or ends."""

    at_ms: int
    process: str
    what: str
    task: str = ""
    due_ms: int = 0
    run_id: str = ""


@dataclass
class TaskProcesses:
    """Those that run, in the order in which they were started; each that dies is replaced."""

    url: str
    folder: Path
    kinds: Sequence[Kind]
    is_broken: bool = False
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _count: int = 0

    async def start(self) -> str:
        self._count += 1
        name = f"p{self._count}"
        work = Work(
            name=name,
            url=self.url,
            notes=str(self.folder / f"{name}.notes"),
            off=str(self.folder / f"{name}.off"),
            kinds=list(self.kinds),
            is_broken=self.is_broken,
        )
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(asdict(work)), encoding="utf-8")
        self.step_clock(name, 0)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.scheduler.task_process", str(file)), stdout=log, stderr=log
            )
        return name

    def step_clock(self, name: str, off_ms: int) -> None:
        """Step the clock of a process."""
        file = self.folder / f"{name}.off.new"
        file.write_text(str(off_ms), encoding="ascii")
        file.rename(self.folder / f"{name}.off")

    def signal(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.running[name].send_signal(number)

    async def kill(self, name: str) -> None:
        """Kill a process; nothing of it is left but its notes."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def leader(self) -> str:
        """Return which process began to lead last, of those that run; the first if none has."""
        leads = [note for note in self.notes() if note.what == "leads" and note.process in self.running]
        return leads[-1].process if leads else next(iter(self.running))

    def notes(self) -> list[Note]:
        """Return all notes, by their time; a line that was being written when its process died is none."""
        found = []
        for file in self.folder.glob("*.notes"):
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(json.JSONDecodeError):
                    found.append(Note(*json.loads(line)))
        return sorted(found, key=lambda note: note.at_ms)

    async def goes_on(self, within_s: float, *, runs: int = 1) -> None:
        """Wait until so many more runs have begun."""
        since_ms = time.time_ns() // 1_000_000
        async with asyncio.timeout(within_s):
            while sum(note.what == "begins" and note.at_ms > since_ms for note in self.notes()) < runs:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def words(self) -> str:
        """Return what they have logged."""
        return "".join(file.read_text(encoding="utf-8") for file in sorted(self.folder.glob("*.log")))


@asynccontextmanager
async def task_processes(
    url: str, kinds: Sequence[Kind], *, count: int, is_broken: bool = False
) -> AsyncIterator[TaskProcesses]:
    """Run some until the block ends, and then kill them."""
    with tempfile.TemporaryDirectory() as folder:
        processes = TaskProcesses(url, Path(folder), kinds, is_broken)
        try:
            for _ in range(count):
                await processes.start()
            yield processes
        finally:
            for name in list(processes.running):
                processes.signal(name, signal.SIGCONT)
                await processes.kill(name)


@asynccontextmanager
async def own_database() -> AsyncIterator[str]:
    """Make a PostgreSQL database; it is dropped when the block ends."""
    making = own_postgres()
    url = await asyncio.to_thread(making.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(making.__exit__, None, None, None)
