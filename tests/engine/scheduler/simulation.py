"""Hours of a fleet in virtual time: tasks of every kind, leaders that are killed or frozen, clocks that are stepped.

    python -m tests.engine.scheduler.simulation --hours 24 --seed 1
    python -m tests.engine.scheduler.simulation --hours 24 --kills 200 --freezes 200

Each due time of each task must be run, or be counted as an overrun or as missed; none may begin twice, and between two
beginnings of a task there may be two intervals at most, the time in which it ran not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import structlog

from tempogram.engine.ports.task_store import Step
from tempogram.engine.scheduler.decisions import jitter_ms
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import Every
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.fakes import START_MS
from tests.virtual_time import LoopClock, in_virtual_time

PROCESSES = 3
TASKS = 40
NOTICED_S = 8.0
"""How long after its death another process takes a leader's place."""

NEAR_S = 0.05
FROZEN_S = (5.0, 25.0)
STEPS_MS = (-3_600_000, -20_000, 0, 700, 20_000, 3_600_000)


class JudgedStore(MemoryTaskStore):
    """Notes each run that begins."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.begun: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)  # due, at, whether it repeats a lost one
        self._clock = clock

    async def step(self, step: Step) -> bool:
        is_made = await super().step(step)
        if is_made and step.sets.get("run_id"):
            due_ms = self.table[step.name].run_due_ms
            self.begun[step.name].append((due_ms, self._clock(), step.lost_by_ms is not None))
        return is_made


class Link:
    """A process's way to the database: it takes a moment, and leads nowhere once the process is killed."""

    def __init__(self, store: MemoryTaskStore, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.is_dead = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._travel()
            answer = await method(*args, **kwargs)
            await self._travel()
            return answer

        return call

    async def _travel(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.000_2, 0.004))
        await self.goes_on.wait()
        if self.is_dead:
            raise asyncio.CancelledError


class SimulatedProcess:
    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name = name
        self.clock = LoopClock(asyncio.get_running_loop())
        self.link = Link(fleet.store, fleet.chance)
        self.scheduler = Scheduler(fleet.tasks(self), self.link, process=name, clock=self.clock)  # type: ignore[arg-type]
        self.died_s = float("inf")
        self.thawed_s = 0.0
        self._tasks = [asyncio.create_task(self.scheduler.run())]

    def lead(self) -> None:
        self._tasks.append(asyncio.create_task(self.scheduler.lead()))

    def kill(self) -> None:
        self.link.is_dead = True
        self.link.goes_on.set()
        self.died_s = asyncio.get_running_loop().time()
        for task in (*self._tasks, *self.scheduler._runner.jobs):
            task.cancel()


@dataclass
class Fleet:
    """Processes that are started, lead, and are killed."""

    chance: random.Random
    store: JudgedStore
    kinds: dict[str, Task]
    lasts_s: dict[str, Callable[[], float]]
    fails: dict[str, float]
    ran: list[tuple[str, float, float]] = field(default_factory=list)
    processes: list[SimulatedProcess] = field(default_factory=list)
    beyond: set[tuple[str, float, float]] = field(default_factory=set)
    kills: int = 0
    freezes: int = 0
    _number: int = 0

    def tasks(self, process: SimulatedProcess) -> list[Task]:
        return [replace(task, work=self._work(task.name, process)) for task in self.kinds.values()]

    def start(self) -> SimulatedProcess:
        self._number += 1
        process = SimulatedProcess(f"p{self._number}", self)
        self.processes.append(process)
        return process

    async def kill_and_replace(self) -> None:
        """Kill the process that leads; another leads a while later, and a new one is started."""
        self.kills += 1
        leader, second, *_ = self.processes
        leader.kill()
        self.processes.remove(leader)
        await asyncio.sleep(self.chance.uniform(0.1, NOTICED_S))
        second.lead()
        self.start()

    async def freeze(self) -> None:
        """Stop the process that leads for a while; its lead lasts, as its connection does. Step another one's clock."""
        self.freezes += 1
        leader = self.processes[0]
        leader.link.goes_on.clear()
        self.chance.choice(self.processes).clock.off_ms = self.chance.choice(STEPS_MS)
        await asyncio.sleep(self.chance.uniform(*FROZEN_S))
        leader.thawed_s = asyncio.get_running_loop().time()
        leader.link.goes_on.set()

    def _work(self, name: str, process: SimulatedProcess) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            try:
                await self._do(name)
            finally:
                span = name, began_s, min(loop.time(), process.died_s)
                self.ran.append(span)
                if process.thawed_s > began_s or not process.link.goes_on.is_set():
                    self.beyond.add(span)  # it may be cancelled only after its lease

        return work

    async def _do(self, name: str) -> None:
        until_s = asyncio.get_running_loop().time() + self.lasts_s[name]()
        while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            if name.startswith("impolite"):
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(left_s)
            else:
                await asyncio.sleep(left_s)
        if self.chance.random() < self.fails[name]:
            raise ValueError(name)


def fleet_of(chance: random.Random) -> Fleet:
    clock = LoopClock(asyncio.get_running_loop())
    fleet = Fleet(chance, JudgedStore(clock), {}, {}, {})
    kinds = ("quick", "slow", "hanging", "failing", "overlapping", "impolite", "queued", "cancelled")
    for number in range(TASKS):
        kind = kinds[number % len(kinds)]
        interval_s = chance.choice((30, 45, 60, 90, 120, 180, 300, 600))
        name = f"{kind}{number}"
        overrun = {"queued": Overrun.QUEUE, "cancelled": Overrun.CANCEL}.get(kind, Overrun.SKIP)
        fleet.kinds[name] = Task(
            name=name,
            times=Every(interval_s * 1_000),
            work=lambda: None,
            on_overrun=overrun,
            timeout_ms=interval_s * (3_000 if kind in {"overlapping", "queued", "cancelled"} else 500),
            jitter_ms=chance.choice((0, 0, 1_000, 5_000)),
            max_retries=chance.choice((0, 2)) if kind == "failing" else 0,
            is_idempotent=number % 2 == 0,
            pause_after=0,
        )
        fleet.lasts_s[name] = _lasts(kind, interval_s, chance)
        fleet.fails[name] = 0.3 if kind == "failing" else 0.0
    return fleet


def _lasts(kind: str, interval_s: float, chance: random.Random) -> Callable[[], float]:
    most = {"quick": 0.01, "failing": 0.05, "slow": 0.4, "hanging": 10.0, "impolite": 1.2}.get(kind, 1.8)
    if kind == "hanging":
        return lambda: interval_s * most if chance.random() < 0.2 else 0.1
    return lambda: chance.uniform(0, interval_s * most)


@dataclass
class Report:
    begun: int
    doubles: list[str]
    gaps: list[str]
    overlaps: list[str]
    missed: int
    unaccounted: list[str]
    results: Counter[str]
    kills: int
    freezes: int

    def wrong(self) -> list[str]:
        missed = [f"{self.missed} due times were missed"] if self.missed else []
        return self.doubles + self.gaps + self.overlaps + self.unaccounted + missed

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.results.items()))
        return (
            f"{self.begun} runs begun; {counts}; leaders killed: {self.kills}, frozen: {self.freezes}; "
            f"missed: {self.missed}; "
            f"begun twice: {len(self.doubles)}; twice at once: {len(self.overlaps)}; "
            f"gaps over two intervals: {len(self.gaps)}; due times unaccounted for: {len(self.unaccounted)}"
        )


async def simulate(hours: float, *, seed: int, kills: int, freezes: int = 0) -> Report:
    """Run a fleet for hours of virtual time; a quarter of the kills and freezes come near a due time."""
    chance = random.Random(seed)
    fleet = fleet_of(chance)
    for _ in range(PROCESSES):
        fleet.start()
    fleet.processes[0].lead()
    end_s = hours * 3_600
    moments = sorted(
        (
            (chance.uniform(60, end_s - 700), disturb)
            for disturb, count in ((fleet.kill_and_replace, kills), (fleet.freeze, freezes))
            for _ in range(count)
        ),
        key=lambda moment: moment[0],
    )
    for number, (moment_s, disturb) in enumerate(moments):
        await asyncio.sleep(max(0.0, moment_s - asyncio.get_running_loop().time()))
        if number % 4 == 0:
            await _until_near_a_due_time(fleet)
        await disturb()
    await asyncio.sleep(end_s - asyncio.get_running_loop().time())
    return judge(fleet)


async def _until_near_a_due_time(fleet: Fleet) -> None:
    """Wait until up to ``NEAR_S`` before or after the next begin of a task."""
    now_ms = fleet.processes[0].clock()
    begins = [row.next_due_ms + jitter_ms(fleet.kinds[row.name], row.next_due_ms) for row in fleet.store.table.values()]
    next_ms = min((at_ms for at_ms in begins if at_ms > now_ms + 60), default=now_ms)
    await asyncio.sleep(max(0.0, (next_ms - now_ms) / 1_000 + fleet.chance.uniform(-NEAR_S, NEAR_S)))


def judge(fleet: Fleet) -> Report:
    doubles, gaps, unaccounted = [], [], []
    for name, begun in fleet.store.begun.items():
        first = [due_ms for due_ms, _, repeats in begun if not repeats]
        doubles += [f"{name} began twice for {due_ms}" for due_ms, count in Counter(first).items() if count > 1]
        gaps += _gaps(fleet, name, begun)
        row, interval_ms = fleet.store.table[name], fleet.kinds[name].times.apart_ms(0)
        due = (row.due_at_ms - START_MS) // interval_ms
        counted = len(first) + row.overruns + row.missed
        if fleet.kinds[name].on_overrun is Overrun.SKIP and due != counted:  # else a run may be of one that overran
            unaccounted.append(f"{name}: {due} due times, but {counted} are accounted for")
    results = Counter(
        {
            word: sum(getattr(row, word) for row in fleet.store.table.values())
            for word in ("runs", "failed", "timed_out", "cancelled", "lost", "overruns")
        }
    )
    missed = sum(row.missed for row in fleet.store.table.values())
    begun_total = sum(map(len, fleet.store.begun.values()))
    return Report(
        begun_total, doubles, gaps, _overlaps(fleet), missed, unaccounted, results, fleet.kills, fleet.freezes
    )


def _gaps(fleet: Fleet, name: str, begun: list[tuple[int, int, bool]]) -> list[str]:
    """Return where more than two intervals, and the time in which it ran, are between two beginnings."""
    task = fleet.kinds[name]
    interval_s = task.times.apart_ms(0) / 1_000
    ends = sorted(end_s for ran, _, end_s in fleet.ran if ran == name)
    found = []
    for (_, before_ms, _), (_, after_ms, _) in pairwise(begun):
        before_s, after_s = (before_ms - START_MS) / 1_000, (after_ms - START_MS) / 1_000
        idle_from_s = max([end_s for end_s in ends if before_s <= end_s <= after_s], default=before_s)
        if after_s - idle_from_s > 2 * interval_s + task.jitter_ms / 1_000:
            found.append(f"{name}: {after_s - idle_from_s:.1f} s without a run from {idle_from_s:.1f} s on")
    return found


def _overlaps(fleet: Fleet) -> list[str]:
    """Return where a task ran twice at once."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, began_s, ended_s in fleet.ran:
        if (name, began_s, ended_s) not in fleet.beyond:
            spans[name].append((began_s, ended_s))
    return [
        f"{name} ran twice at once at {later[0]:.1f} s"
        for name, of_task in spans.items()
        for earlier, later in pairwise(sorted(of_task))
        if later[0] < earlier[1]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--freezes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: {}])
    report = in_virtual_time(simulate(given.hours, seed=given.seed, kills=given.kills, freezes=given.freezes))
    sys.stdout.write(f"{given.hours:g} h of {TASKS} tasks on {PROCESSES} processes, seed {given.seed}: {report}\n")
    for line in report.wrong()[:20]:
        sys.stdout.write(f"  {line}\n")
    sys.exit(bool(report.wrong()))


if __name__ == "__main__":
    main()
