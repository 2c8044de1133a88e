"""Tasks, loops and budgets as the API shows them; without pydantic, because a worker shows them, too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tempogram.api.core.redaction import without_tokens
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.ports.task_store import RunRecord
from tempogram.engine.scheduler.status import LoopHealth, TaskHealth
from tempogram.engine.scheduler.times import Every, read
from tempogram.engine.services.state import ServiceState

Shown = dict[str, object]


def task_line(health: TaskHealth) -> Shown:
    """Return a task as ``GET /health/cron`` lists it."""
    return {
        "service": health.row.name,
        "last_run": _time(health.last_run_ms),
        "age_seconds": health.age_ms // 1_000 if health.last_run_ms else None,
        "status": health.status.value,
    }


def loop_line(health: LoopHealth) -> Shown:
    return {
        "service": health.name,
        "last_run": _time(health.beat.at_ms),
        "age_seconds": health.age_ms // 1_000,
        "status": health.status.value,
    }


def loop_details(health: LoopHealth) -> Shown:
    beat = health.beat
    return loop_line(health) | {"interval_s": beat.every_ms / 1_000, "process": beat.process, "role": beat.role}


def task_details(health: TaskHealth) -> Shown:
    """Return everything about a task but its name and its history."""
    row = health.row
    return {
        "status": health.status.value,
        **_times(health),
        "next_run": _time(row.next_due_ms),
        "last_run": _time(health.last_run_ms),
        "last_success": _time(row.last_success_ms),
        "last_duration_s": row.last_duration_ms / 1_000 if row.last_run_ms else None,
        "last_result": row.last_result or None,
        "last_error": without_tokens(row.last_error) or None,
        "running_since": _time(row.run_since_ms) if row.run_id else None,
        "running_in": row.run_by or None if row.run_id else None,
        "is_paused": row.is_paused,
        "paused_until": _time(row.paused_until_ms) if health.is_paused_after_failures else None,
        "failures_in_a_row": row.failures,
        "counts": {
            "runs": row.runs,
            "failed": row.failed,
            "timed_out": row.timed_out,
            "cancelled": row.cancelled,
            "lost": row.lost,
            "overruns": row.overruns,
            "missed": row.missed,
        },
        "is_declared": row.is_declared,
    }


def runs(history: Sequence[RunRecord]) -> list[Shown]:
    return [
        {
            "number": run.number,
            "due": _time(run.due_ms),
            "began": _time(run.began_ms),
            "ended": _time(run.ended_ms),
            "duration_s": max(0, run.ended_ms - run.began_ms) / 1_000 if run.ended_ms else None,
            "result": run.result.value if run.result else None,
            "attempts": run.attempts,
            "error": without_tokens(run.error) or None,
            "process": run.process or None,
        }
        for run in history
    ]


def budgets(state: ServiceState) -> Shown:
    """Return what is left of each operation of a service that has a count, under names as JavaScript has them."""
    left: Shown = {}
    for name, operation in state.operations.items():
        own = operation.limiters[0]
        if own.limit.count and own.left is not None:
            left[camel_case(name)] = {"tokens": own.left, "capacity": own.limit.burst or own.limit.count}
    return left


def camel_case(name: str) -> str:
    """Return a name as JavaScript writes it.

    >>> camel_case("tweet_lookup"), camel_case("chat-completions"), camel_case("mentions")
    ('tweetLookup', 'chatCompletions', 'mentions')
    """
    first, *others = name.replace("-", "_").split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def time_of(at_ms: int) -> str:
    """Return a time in ISO 8601.

    >>> time_of(1_768_473_000_000)
    '2026-01-15T10:30:00.000Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(at_ms: int) -> str | None:
    return time_of(at_ms) if at_ms else None


def _times(health: TaskHealth) -> Shown:
    row = health.row
    try:
        times = read(row.times)
    except SettingsError as error:
        return {"times": str(error), "interval_s": None, "declared_interval_s": None, "cron": None, "zone": None}
    if isinstance(times, Every):
        interval_ms = row.chosen_interval_ms or row.interval_ms or times.interval_ms
        declared_s = times.interval_ms / 1_000
        interval_s = interval_ms / 1_000
        return {
            "times": f"every {interval_s:g} s",
            "interval_s": interval_s,
            "declared_interval_s": declared_s,
            "cron": None,
            "zone": None,
        }
    return {
        "times": str(times),
        "interval_s": None,
        "declared_interval_s": None,
        "cron": times.expression,
        "zone": times.zone,
    }
