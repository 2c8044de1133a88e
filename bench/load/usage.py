"""What each process takes and how much is queued, asked again and again while the load comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import Engine, cpu_seconds

EVERY_S = 2.5
"""Reading a process's memory takes a millisecond or two, and that process waits meanwhile. Untuned."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look; ``at_s`` is counted from the first, ``mb`` and ``cpu_s`` are by process."""

    at_s: float
    queued: int
    cpu_s: Mapping[str, float]
    mb: Mapping[str, float]


@dataclass(slots=True)
class Usage:
    """Looks at an engine and at processes beside it, by their ids."""

    tempogram: Engine
    beside: Mapping[str, int]
    samples: list[Sample] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        servers = {name: family(pid) for name, pid in self.tempogram.servers.items()}
        pids = {name: [pid] for name, pid in {**self.tempogram.pids, **self.beside}.items()} | servers
        queued = int((await self.tempogram.stats())["total_queued"])
        at_s = time.monotonic() - self._began_s
        cpu_s = {name: sum(map(cpu_s_of, each)) for name, each in pids.items()}
        mb = await asyncio.to_thread(lambda: {name: sum(map(mb_of, each)) for name, each in pids.items()})
        self.samples.append(Sample(at_s, queued, cpu_s, mb))

    def cpu_share(self) -> dict[str, float]:
        """Return how much of one core each process had, over all the time."""
        first, last = self.samples[0], self.samples[-1]
        took_s = last.at_s - first.at_s
        return {name: (cpu_s - first.cpu_s[name]) / took_s for name, cpu_s in last.cpu_s.items()}

    def lines(self) -> list[str]:
        """Return one line for each process."""
        first, last = self.samples[0], self.samples[-1]
        return [
            f"{name}: {share:.0%} of a core, {last.cpu_s[name] - first.cpu_s[name]:.2f} s; memory"
            f" {first.mb[name]:.0f} MB at first, {max(each.mb[name] for each in self.samples):.0f} at most,"
            f" {last.mb[name]:.0f} at last"
            for name, share in self.cpu_share().items()
        ]


def queued_over_time(samples: Sequence[Sample], *, every_s: float) -> str:
    """Write down how much was queued, every so often.

    >>> queued_over_time([Sample(at_s, 10 * int(at_s), {}, {}) for at_s in (0.0, 1.0, 2.0, 3.1)], every_s=2)
    '0 s: 0, 2 s: 20'
    """
    due_s, words = 0.0, []
    for each in samples:
        if each.at_s >= due_s:
            words.append(f"{due_s:.0f} s: {each.queued}")
            due_s += every_s
    return ", ".join(words)


def family(pid: int) -> list[int]:
    """Return a process and those it started: PostgreSQL has one for each connection."""
    children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text(encoding="ascii")
    return [pid, *map(int, children.split())]


def cpu_s_of(pid: int) -> float:
    return cpu_seconds(pid) or 0.0


def mb_of(pid: int) -> float:
    """Return the memory of a process; what several share is divided among them. 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_024
