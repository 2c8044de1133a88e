"""What the end of a run makes of its task's row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tempogram.engine.ports.task_store import RunRecord, RunResult, Step, TaskRow
from tempogram.engine.resilience.backoff import doubled_ms
from tempogram.engine.scheduler.decisions import FREED, failed, times_of
from tempogram.engine.scheduler.run import Ended, Run
from tempogram.engine.scheduler.task import Next, Task
from tempogram.engine.scheduler.times import INTERVAL_MS_MAX, INTERVAL_MS_MIN, Every

PAUSE_MS_MAX = 3_600_000
"""The longest pause after failures. untuned: what is well again should be seen within an hour."""

STRETCH_PERCENT = 150
"""By how much an interval is stretched at once, and shortened again."""

_COUNTED_AS = {
    RunResult.FAILED: "failed",
    RunResult.TIMED_OUT: "timed_out",
    RunResult.CANCELLED: "cancelled",
}


def ending(task: Task, row: TaskRow, run: Run, ended: Ended, *, now_ms: int, is_short: bool) -> Step:
    """Return the step that says what came of a run. While something of it goes on, the run stays under way."""
    sets: dict[str, Any] = {
        "last_run_ms": row.run_since_ms,
        "last_duration_ms": max(0, now_ms - row.run_since_ms),
        "last_result": ended.result.value,
        "last_error": ended.error,
        **({} if ended.leftover is not None else FREED),
        **_health(task, row, ended, now_ms),
        **_next(task, row, ended, now_ms, is_short=is_short),
    }
    adds = {"runs": 1} | ({_COUNTED_AS[ended.result]: 1} if ended.result in _COUNTED_AS else {})
    record = RunRecord(
        name=row.name,
        number=row.run_number,
        due_ms=run.due_ms,
        began_ms=row.run_since_ms,
        ended_ms=now_ms,
        result=ended.result,
        attempts=ended.attempts,
        error=ended.error,
        process=row.run_by,
    )
    return Step(name=row.name, sets=sets, adds=adds, run_id=run.run_id, record=record)


def leftover_ended(row: TaskRow, run: Run, *, now_ms: int) -> Step:
    """Return the step for a run of which the last thing has ended, long after it was cancelled."""
    duration_ms = max(0, now_ms - row.run_since_ms)
    return Step(name=row.name, sets={**FREED, "last_duration_ms": duration_ms}, run_id=run.run_id)


def abandoned(name: str, run_id: str) -> Step:
    """Return the step by which a process that ends gives up a run, so that another may take it for lost at once."""
    return Step(name=name, sets={"run_until_ms": 0}, run_id=run_id)


def _health(task: Task, row: TaskRow, ended: Ended, now_ms: int) -> dict[str, Any]:
    if ended.result is RunResult.DONE:
        successes = row.successes + 1
        is_failing = row.is_failing and successes < task.well_after
        return {
            "successes": successes,
            "failures": 0,
            "is_failing": is_failing,
            "paused_until_ms": 0,
            "last_success_ms": now_ms,
        }
    if ended.result is RunResult.CANCELLED:
        return {}
    return failed(task, row)


def _next(task: Task, row: TaskRow, ended: Ended, now_ms: int, *, is_short: bool) -> dict[str, Any]:
    if ended.result in {RunResult.FAILED, RunResult.TIMED_OUT}:
        failures = row.failures + 1
        if task.pause_after and failures >= task.pause_after:
            pause_ms = doubled_ms(task.pause_ms, failures - task.pause_after, ms_max=PAUSE_MS_MAX)
            until_ms = max(row.next_due_ms, now_ms + pause_ms)
            return {"paused_until_ms": until_ms, "next_due_ms": until_ms}
    if (chosen_ms := _chosen_ms(ended.next, now_ms)) is not None:
        return {"next_due_ms": chosen_ms, "anchor_ms": chosen_ms}
    return _stretched(task, row, is_short=is_short)


def _chosen_ms(chosen: Next, now_ms: int) -> int | None:
    """Return the time that a task chose for its next run; None: it chose none that makes sense.

    A number is none: many a function returns how much it has done.
    """
    if isinstance(chosen, timedelta):
        at_ms = now_ms + int(chosen.total_seconds() * 1_000)
    elif isinstance(chosen, datetime):
        try:
            at_ms = int(chosen.astimezone(UTC).timestamp() * 1_000)
        except (OverflowError, ValueError, OSError):  # such as datetime.max
            return None
    else:
        return None
    return min(max(at_ms, now_ms + INTERVAL_MS_MIN), now_ms + INTERVAL_MS_MAX)


def _stretched(task: Task, row: TaskRow, *, is_short: bool) -> dict[str, Any]:
    """Move the interval towards its upper bound while what the task uses is short, and back when it is not."""
    declared = task.times
    if not isinstance(declared, Every) or not declared.interval_ms_max or row.chosen_interval_ms:
        return {}
    times = times_of(task, row)
    before_ms = times.apart_ms(0)
    if is_short:
        interval_ms = min(declared.interval_ms_max, before_ms * STRETCH_PERCENT // 100)
    else:
        interval_ms = max(declared.interval_ms, before_ms * 100 // STRETCH_PERCENT)
    if interval_ms == before_ms:
        return {}
    return {"interval_ms": interval_ms, "anchor_ms": row.due_at_ms, "next_due_ms": row.due_at_ms + interval_ms}
