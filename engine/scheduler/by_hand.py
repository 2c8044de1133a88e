"""What an operator may change of a task while it runs: each is one step of its row, which every process follows."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.ports.task_store import Step, TaskRow
from tempogram.engine.scheduler.times import Cron, Every, Times, read, stored


def paused(row: TaskRow, now_ms: int) -> Step:
    """Let it run no more until it is resumed, or asked to run; a run that is under way goes on."""
    return _step(row, now_ms, is_paused=True)


def resumed(row: TaskRow, now_ms: int) -> Step:
    """Let it run again when it is due the next time; what was due meanwhile was not missed."""
    times = _times(row)
    next_ms = times.due_after(now_ms, anchor_ms=row.anchor_ms) or 0
    dealt_ms = max(row.due_at_ms, min(now_ms, next_ms - 1) if next_ms else now_ms)
    return _step(row, now_ms, is_paused=False, paused_until_ms=0, due_at_ms=dealt_ms, next_due_ms=next_ms)


def at_interval(row: TaskRow, interval_ms: int, now_ms: int) -> Step:
    """Run it at another interval, counted from its last due time; 0: at the one that is declared.

    Raises:
        SettingsError: It is due by cron, or the interval makes no sense.
    """
    declared = read(row.times)
    if isinstance(declared, Cron):
        raise SettingsError(f"{row.name} is due by cron; its interval cannot be changed")
    times = Every(interval_ms) if interval_ms else declared
    next_ms = row.due_at_ms + times.interval_ms
    return _step(
        row, now_ms, chosen_interval_ms=interval_ms, interval_ms=0, anchor_ms=row.due_at_ms, next_due_ms=next_ms
    )


def at_declared(row: TaskRow, times: Times) -> Step:
    """Follow a declaration that has changed: its due times are counted from the last one."""
    next_ms = times.due_after(row.due_at_ms, anchor_ms=row.due_at_ms) or 0
    sets = {"times": stored(times), "interval_ms": 0, "anchor_ms": row.due_at_ms, "next_due_ms": next_ms}
    return Step(name=row.name, sets=sets, version=row.version)


def run_now(row: TaskRow, now_ms: int) -> Step:
    """Run it once, also if it is paused; its times stay as they are.

    Raises:
        SettingsError: It is running.
    """
    if row.run_id and now_ms < row.run_until_ms:
        raise SettingsError(f"{row.name} is running since {row.run_since_ms}; wait for its end")
    return _step(row, now_ms, run_at_ms=max(now_ms, row.due_at_ms + 1))


def _times(row: TaskRow) -> Every | Cron:
    times = read(row.times)
    interval_ms = row.chosen_interval_ms or row.interval_ms
    return (
        replace(times, interval_ms=interval_ms, interval_ms_max=0)
        if interval_ms and isinstance(times, Every)
        else times
    )


def _step(row: TaskRow, now_ms: int, **sets: int | bool) -> Step:
    return Step(name=row.name, sets={**sets, "changed_at_ms": max(now_ms, row.changed_at_ms + 1)}, version=row.version)
