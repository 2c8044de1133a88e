"""What is to be done about a task now: pure functions of its declaration, its row and the time.

``next_due_ms`` of the row is when it is due next, on whatever grounds; what follows is counted from there.

    due in the future                      wait
    due, its last run is going             wait for its end
    due, its run was not heard of          the run is lost; it begins again if the task is idempotent
    due                                    run for the newest due time; those before it were missed, or overran
    the newest is older than ``catch_up``  all were missed
    all passed while the last run went     skipped, or run once more if the task says so
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from tempogram.engine.ports.task_store import RunRecord, RunResult, Step, TaskRow
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import Every, Passed, Times, stored

FREED = {"run_id": "", "run_by": "", "run_until_ms": 0}
"""Of a row without a run."""

FAILING_AFTER = 5
"""Failures in a row after which a task that never pauses counts as failing."""

REPEATS_MAX = 3
"""How often a lost run is begun again: one that kills its process each time must not kill all, one by one."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done before a time; None: before something changes."""

    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Going:
    """It is due, and its last run is going in another process, which must be heard of until a time."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class PassOver:
    """Its due times are dealt with without a run."""

    step: Step


@dataclass(frozen=True, slots=True)
class Begin:
    """It runs, if the step could be made."""

    step: Step


Decision = Wait | Going | PassOver | Begin


def decide(task: Task, row: TaskRow, now_ms: int, *, run_id: str, process: str, until_ms: int) -> Decision:
    """Return what is to be done.

    Args:
        task: As it is declared.
        row: As it is known.
        now_ms: Milliseconds since the epoch.
        run_id: Of the run that would begin.
        process: In which it would.
        until_ms: Until when it would have to be heard of.
    """
    run = {"run_id": run_id, "run_by": process, "run_since_ms": now_ms, "run_until_ms": until_ms, "run_repeats": 0}
    if row.run_id and now_ms >= row.run_until_ms:
        return _lost(task, row, run, now_ms)
    due = _due(task, row, now_ms)
    if isinstance(due, Wait):
        return due
    if row.run_id:
        return Going(row.run_until_ms)
    newest_ms, missed, overran, runs = due
    next_ms = times_of(task, row).due_after(newest_ms, anchor_ms=row.anchor_ms) or 0
    plan: dict[str, object] = {
        "times": stored(task.times),
        "due_at_ms": newest_ms,
        "next_due_ms": max(next_ms, row.next_due_ms) if row.run_at_ms == newest_ms else next_ms,
    }
    adds = {"missed": missed, "overruns": overran}
    # What was missed is counted from the row as it is known, so it must be known as it is.
    step = Step(name=row.name, sets=plan, adds=adds, due_below_ms=newest_ms, run_id="", version=row.version)
    if not runs:
        return PassOver(step)
    return Begin(replace(step, sets={**plan, **run, "run_due_ms": newest_ms}, adds={**adds, "run_number": 1}))


def failed(task: Task, row: TaskRow) -> dict[str, int | bool]:
    """Return what one more failure in a row makes of a task's health; a run that was lost is one, too."""
    failures = row.failures + 1
    is_failing = row.is_failing or failures >= (task.pause_after or FAILING_AFTER)
    return {"failures": failures, "successes": 0, "is_failing": is_failing}


def times_of(task: Task, row: TaskRow) -> Times:
    """Return when a task is due, with what was changed of it."""
    if not isinstance(task.times, Every):
        return task.times
    interval_ms = row.chosen_interval_ms or row.interval_ms
    return replace(task.times, interval_ms=interval_ms, interval_ms_max=0) if interval_ms else task.times


def wakes_at_ms(task: Task, row: TaskRow) -> int | None:
    """Return when a task is to be looked at, its jitter included; None: not before something changes."""
    if row.run_at_ms > row.due_at_ms:
        return row.run_at_ms
    if row.is_paused or not row.next_due_ms:
        return None
    return row.next_due_ms + jitter_ms(task, row.next_due_ms)


def jitter_ms(task: Task, due_ms: int) -> int:
    """Return how much later than a due time a task begins: the same in every process."""
    if not task.jitter_ms:
        return 0
    return zlib.crc32(f"{task.name}@{due_ms}".encode()) % (task.jitter_ms + 1)


def _due(task: Task, row: TaskRow, now_ms: int) -> Wait | tuple[int, int, int, bool]:
    """Return the newest due time, how many others were missed, how many overran, and whether it runs; or ``Wait``."""
    wakes_ms = wakes_at_ms(task, row)
    if wakes_ms is None or wakes_ms > now_ms:
        return Wait(wakes_ms)
    if row.run_at_ms > row.due_at_ms:
        return row.run_at_ms, 0, 0, True
    until_ms = now_ms - (wakes_ms - row.next_due_ms)
    passed = _passed(task, row, until_ms)
    ended_ms = row.last_run_ms + row.last_duration_ms if row.last_run_ms else 0
    overran = _passed(task, row, min(ended_ms, until_ms)).count
    newest_ms = passed.newest_ms or row.next_due_ms
    if newest_ms <= ended_ms:
        return newest_ms, 0, overran, task.on_overrun is not Overrun.SKIP
    if until_ms - newest_ms > task.catch_up_ms:
        return newest_ms, passed.count - overran, overran, False
    return newest_ms, passed.count - overran - 1, overran, True


def _passed(task: Task, row: TaskRow, until_ms: int) -> Passed:
    """Return the due times from the next one on, up to an instant."""
    if until_ms < row.next_due_ms:
        return Passed(None, 0)
    later = times_of(task, row).passed(row.next_due_ms, until_ms, anchor_ms=row.anchor_ms)
    return Passed(later.newest_ms or row.next_due_ms, later.count + 1)


def _lost(task: Task, row: TaskRow, run: dict[str, object], now_ms: int) -> Decision:
    record = RunRecord(
        name=row.name,
        number=row.run_number,
        due_ms=row.run_due_ms,
        began_ms=row.run_since_ms,
        ended_ms=0,
        result=RunResult.LOST,
        error=f"process {row.run_by} was not heard of any more",
        process=row.run_by,
    )
    sets = {
        "last_run_ms": row.run_since_ms,
        "last_duration_ms": max(0, row.run_until_ms - row.run_since_ms),  # 0: it was given up
        "last_result": RunResult.LOST.value,
        "last_error": record.error,
        **failed(task, row),
    }
    of_run = Step(name=row.name, sets=sets, adds={"lost": 1}, run_id=row.run_id, lost_by_ms=now_ms, record=record)
    if task.is_idempotent and row.run_repeats < REPEATS_MAX:
        again = {**sets, **run, "run_repeats": row.run_repeats + 1}
        return Begin(replace(of_run, sets=again, adds={"lost": 1, "run_number": 1}))
    return PassOver(replace(of_run, sets={**sets, **FREED}))
