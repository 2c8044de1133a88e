"""kill -9, SIGSTOP, stepped clocks, cut connections: does each due time of each task run once?

Question    Three processes share tasks over PostgreSQL, and the one that leads is killed again and again: is any due
            time begun twice, or missed?
Workload    32 tasks, due each 1 to 20 s, that last 50 to 600 ms. For 80 s the leader is killed at any time and within
            50 ms of a due time, and stopped for 5 to 20 s; clocks are stepped by seconds and by an hour; connections
            to the database are cut. Each process that was killed is replaced. The seed says when and what.
Measured    When each run began and ended, by the notes of the processes; what the database counts.
Checked     No due time of a task begun twice, but for those of lost runs of idempotent tasks; each due time run, or
            counted as overrun or missed; none missed where the longest time without a leader is shorter than the
            interval; no task without a run for two intervals and that time; no task waits longer than that for a
            process that runs it, but after a run that was lost; no task runs twice at once, but for what a process does
            that was stopped beyond its lease.

    python -m bench.scheduler.killed [--broken]
    SEED=7 DURATION_S=300 python -m bench.scheduler.killed
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.harness import Checks, main
from bench.scheduler.disturbances import Disturbances
from bench.scheduler.task_process import Kind
from bench.scheduler.task_processes import Note, TaskProcesses, own_database, task_processes
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.lease_renewal import RUN_LEASE_MS
from tempogram.engine.scheduler.scheduler import FOLLOW_S, OVERDUE_MS
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.tasks import SqlTaskStore

PROCESSES, TASKS, DURATION_S = 3, 32, 80.0
INTERVALS_MS = (1_000, 2_000, 5_000, 12_000, 20_000)
READY_S = 60.0

UNLED_MS = OVERDUE_MS + int(FOLLOW_S * 1_000) + 1_500
"""How long a task may wait after it was due if the leader does nothing; the last for a busy machine."""


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    seed, seconds = int(os.environ.get("SEED", "1")), float(os.environ.get("DURATION_S", DURATION_S))
    async with (
        own_database() as url,
        task_processes(url, kinds(TASKS), count=PROCESSES, is_broken=broken) as processes,
    ):
        disturbances = Disturbances(processes, random.Random(seed))
        await processes.goes_on(READY_S)
        await disturbances.go_on(seconds)
        await check(checks, processes, disturbances)


def kinds(tasks: int, intervals_ms: Sequence[int] = INTERVALS_MS) -> list[Kind]:
    return [
        Kind(
            name=f"task{number}",
            interval_ms=intervals_ms[number % len(intervals_ms)],
            lasts_ms=(50, 150, 600)[number % 3],
            is_idempotent=number % 2 == 0,
        )
        for number in range(tasks)
    ]


async def check(checks: Checks, processes: TaskProcesses, disturbances: Disturbances) -> None:
    """Check what was noted against what the database counts."""
    database = Database.open_read_only(processes.url)
    rows = {row.name: row for row in await SqlTaskStore(database).rows()}
    await database.close()
    judged = Judged(processes.kinds, processes.notes(), rows, disturbances)
    done = ", ".join(f"{count} {what}" for what, count in sorted(disturbances.counts.items()))
    total = {word: sum(getattr(row, word) for row in rows.values()) for word in ("runs", "lost", "overruns", "missed")}
    counted = ", ".join(f"{count} {word}" for word, count in total.items())
    checks.that(bool(judged.begun), f"{len(judged.begun)} runs begun ({counted}); {done}")
    for found, sentence in (
        (judged.doubles(), "due times begun twice"),
        (judged.unaccounted(), "tasks with due times unaccounted for"),
        (judged.missed(), f"tasks of intervals over {UNLED_MS} ms with missed due times"),
        (judged.gaps(), "gaps over two intervals, and the time without a leader"),
        (judged.overlaps(), "tasks that ran twice at once"),
    ):
        checks.that(not found, f"{len(found)} {sentence} {'; '.join(found[:3])}")
    longest_ms = max(judged.waits_ms(), default=0)
    checks.that(longest_ms < UNLED_MS, f"longest time that a task waited for a process, {longest_ms} ms")


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of all due times."""

    kinds: Sequence[Kind]
    notes: Sequence[Note]
    rows: dict[str, TaskRow]
    disturbances: Disturbances

    @property
    def begun(self) -> list[Note]:
        return [note for note in self.notes if note.what == "begins"]

    def doubles(self) -> list[str]:
        """Return what began twice; a lost run of an idempotent task may once more for each time it was lost."""
        again: Counter[str] = Counter()
        for (name, _), times in Counter((note.task, note.due_ms) for note in self.begun).items():
            again[name] += times - 1
        may = {kind.name: self.rows[kind.name].lost if kind.is_idempotent else 0 for kind in self.kinds}
        return [f"{name}: {times}, of {may[name]}" for name, times in again.items() if times > may[name]]

    def unaccounted(self) -> list[str]:
        return [text for kind in self.kinds if (text := _unaccounted(kind, self.rows[kind.name]))]

    def missed(self) -> list[str]:
        rows = [self.rows[kind.name] for kind in self.kinds if kind.interval_ms > UNLED_MS]
        return [f"{row.name}: {row.missed}" for row in rows if row.missed]

    def gaps(self) -> list[str]:
        """Return where a task did not run; one whose run was lost waits for the end of its lease, too."""
        found = []
        for kind in self.kinds:
            lost_ms = RUN_LEASE_MS if self.rows[kind.name].lost else 0
            begun_ms = [note.at_ms for note in self.begun if note.task == kind.name]
            longest_ms = max((later - earlier for earlier, later in pairwise(begun_ms)), default=0)
            if longest_ms > 2 * kind.interval_ms + UNLED_MS + lost_ms:
                found.append(f"{kind.name}, each {kind.interval_ms} ms: {longest_ms} ms")
        return found

    def waits_ms(self) -> Iterator[int]:
        """Yield how long after its interval each task began again; one whose run was lost waits for its lease, too."""
        ends = {note.run_id: note for note in self.notes if note.what == "ends"}
        for kind in self.kinds:
            for earlier, later in pairwise(note for note in self.begun if note.task == kind.name):
                end = ends.get(earlier.run_id)
                if end is not None and not self._was_frozen(earlier.process, earlier.at_ms, end.at_ms):
                    yield later.at_ms - earlier.at_ms - kind.interval_ms

    def overlaps(self) -> list[str]:
        """Return which tasks ran twice at once; the end of a run whose process was killed is not known."""
        spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        ends = {note.run_id: note.at_ms for note in self.notes if note.what == "ends"}
        for note in self.begun:
            if note.run_id in ends and not self._was_frozen(note.process, note.at_ms, ends[note.run_id]):
                spans[note.task].append((note.at_ms, ends[note.run_id], note.run_id))
        return [text for name, of_task in spans.items() for text in _overlaps(name, of_task)]

    def _was_frozen(self, process: str, from_ms: int, to_ms: int) -> bool:
        frozen = [(begun, ended) for name, begun, ended in self.disturbances.frozen if name == process]
        return any(begun * 1_000 < to_ms and from_ms < ended * 1_000 for begun, ended in frozen)


def _unaccounted(kind: Kind, row: TaskRow) -> str:
    due = (row.due_at_ms - row.anchor_ms) // kind.interval_ms
    run = row.run_number - (row.lost if kind.is_idempotent else 0)
    counted = run + row.overruns + row.missed
    return "" if due == counted else f"{row.name}: {due} due times, {counted} accounted for"


def _overlaps(name: str, spans: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    for earlier, later in pairwise(sorted(spans)):
        if later[0] < earlier[1]:
            yield f"{name}: {earlier[2]} and {later[2]} at {later[0]}"


if __name__ == "__main__":
    main("Processes that run tasks are killed, stopped and cut off: does each due time run once?", bench)
