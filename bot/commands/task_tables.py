"""Tasks and their runs as tables."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"STALLED": "bold red", "FAILING": "red", "LATE": "yellow", "PAUSED": "cyan", "HEALTHY": "green"}

PROBLEMS = ("failed", "timed_out", "cancelled", "lost", "overruns", "missed")


def all_tasks(answer: dict[str, Any]) -> Table | str:
    if not answer["tasks"]:
        return "There is no task. Declare one with tempogram.every; see docs/tasks.md."
    table = _table("task", "status", "times", "last run", "took", "result", "next run", "runs", "besides")
    for task in answer["tasks"]:
        table.add_row(*_line(task))
    return table


def one_task(task: dict[str, Any]) -> Table | str:
    return all_tasks({"tasks": [task]})


def history(task: dict[str, Any]) -> Table | str:
    if not task["history"]:
        return f"{task['name']} has not run yet."
    table = _table("run", "due", "began", "took", "result", "attempts", "process", "error")
    for run in task["history"]:
        table.add_row(
            f"{run['number']:,}",
            _time(run["due"]),
            _time(run["began"]),
            _took(run["duration_s"]),
            _plain(run["result"] or ""),
            f"{run['attempts']:,}",
            run["process"] or "",
            _plain(run["error"] or ""),
        )
    return table


def _line(task: dict[str, Any]) -> tuple[str, ...]:
    style = STYLES.get(task["status"], "")
    return (
        task["name"],
        f"[{style}]{task['status']}[/]" if style else task["status"],
        task["times"] if task["is_declared"] else f"{task['times']}, declared no more",
        _ago(task["last_run"]),
        _took(task["last_duration_s"]),
        "running" if task["running_since"] else _result(task),
        "" if task["is_paused"] else _time(task["paused_until"] or task["next_run"]),
        f"{task['counts']['runs']:,}",
        problems(task["counts"]),
    )


def _result(task: dict[str, Any]) -> str:
    result = (task["last_result"] or "").replace("_", " ")
    error = task["last_error"]
    return f"{result}: {_plain(error)}" if error and result != "done" else result


def problems(counts: dict[str, int]) -> str:
    """Say what did not go well.

    >>> problems({"failed": 3, "timed_out": 0, "cancelled": 0, "lost": 0, "overruns": 1, "missed": 0})
    '3 failed, 1 overruns'
    """
    return ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in PROBLEMS if counts[name])


def span(seconds: float) -> str:
    """Write a span of time in two of its units.

    >>> span(0.4), span(75), span(3_720), span(90_000)
    ('0 s', '1 min 15 s', '1 h 2 min', '1 d 1 h')
    """
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    whole = int(seconds)
    for (unit_s, unit), (next_s, following) in pairwise(units):
        if whole >= unit_s:
            rest = whole % unit_s // next_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {following}" if rest else "")
    return f"{whole} s"


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    return f"{span(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()))} ago"


def _time(moment: str | None) -> str:
    """Return a time of today as hours, minutes and seconds of this machine's time zone, another one with its date."""
    if moment is None:
        return ""
    at, now = datetime.fromisoformat(moment).astimezone(), datetime.now(UTC).astimezone()
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _took(seconds: float | None) -> str:
    """Return a duration.

    >>> _took(0.0132), _took(75.2), _took(None)
    ('13 ms', '1 min 15 s', '')
    """
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
