"""Reads from an engine's database when its tasks began, while it runs or after it was killed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One run; times are seconds since the epoch."""

    task: str
    due_s: float
    began_s: float
    result: str

    @property
    def late_s(self) -> float:
        return self.began_s - self.due_s


@dataclass(frozen=True, slots=True)
class TaskLog:
    """The history in a SQLite file."""

    path: Path

    def runs(self, task: str | None = None) -> list[LoggedRun]:
        """Return the runs that have ended, oldest first; of one task, or of all but the engine's own."""
        rows = self._rows("SELECT name, due_ms, began_ms, result FROM task_runs WHERE name NOT LIKE 'tempogram.%'")
        runs = [LoggedRun(name, due_ms / 1_000, began_ms / 1_000, result) for name, due_ms, began_ms, result in rows]
        return sorted((run for run in runs if task in {None, run.task}), key=lambda run: run.began_s)

    def under_way(self) -> list[str]:
        return [str(name) for (name,) in self._rows("SELECT name FROM tasks WHERE run_id != ''")]

    def doubles(self) -> list[str]:
        counted = Counter((run.task, run.due_s) for run in self.runs() if run.result != "lost")
        return [f"{task} for {due_s:.3f}" for (task, due_s), times in counted.items() if times > 1]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as database:
            return database.execute(query).fetchall()


def longest_gap_s(runs: Iterable[LoggedRun], since_s: float, until_s: float) -> float:
    """Return the longest time in which none of these runs began.

    >>> run = LoggedRun("poll", 2.0, 2.0, "done")
    >>> longest_gap_s([run], 0.0, 7.0)
    5.0
    """
    began_s = [run.began_s for run in runs if since_s < run.began_s < until_s]
    return max(later - earlier for earlier, later in pairwise((since_s, *began_s, until_s)))
