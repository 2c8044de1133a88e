"""What is known of tasks, for all processes and after a restart; and the fence that lets each run begin once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol


class RunResult(Enum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process died, or was cut off from the database for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """What the database knows of one task. Times are milliseconds since the epoch, 0: never.

    Attributes:
        version: Each step raises it.
        times: What was declared last, as ``times.stored`` has it: a change of it begins a new grid.
        due_at_ms: The newest due time that was dealt with: run, skipped or missed. The fence.
        next_due_ms: The next one, without jitter; 0: none is known.
        anchor_ms: From where the intervals are counted.
        interval_ms: Stretched between its bounds; 0: as declared.
        chosen_interval_ms: Chosen while it ran, which goes before what is declared; 0: none.
        is_paused: By hand.
        paused_until_ms: After failures.
        run_at_ms: A run was asked for at this time.
        changed_at_ms: When one of the four above changed by hand.
        run_id: Of the run that is under way; empty: none is.
        run_due_ms: For which due time.
        run_by: By which process.
        run_since_ms: When it began.
        run_repeats: How often it was lost and begun again.
        run_until_ms: Unless it is heard of before, it is lost.
        failures: In a row.
        successes: In a row.
        is_failing: It has failed too often in a row, and is not well again.
    """

    name: str
    version: int = 0
    times: str = ""
    is_declared: bool = True
    due_at_ms: int = 0
    next_due_ms: int = 0
    anchor_ms: int = 0
    interval_ms: int = 0
    chosen_interval_ms: int = 0
    is_paused: bool = False
    paused_until_ms: int = 0
    run_at_ms: int = 0
    changed_at_ms: int = 0
    run_number: int = 0
    run_id: str = ""
    run_due_ms: int = 0
    run_by: str = ""
    run_since_ms: int = 0
    run_repeats: int = 0
    run_until_ms: int = 0
    last_run_ms: int = 0
    last_success_ms: int = 0
    last_duration_ms: int = 0
    last_result: str = ""
    last_error: str = ""
    failures: int = 0
    successes: int = 0
    is_failing: bool = False
    runs: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    lost: int = 0
    overruns: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run in a task's history; the last ``HISTORY`` are kept.

    Attributes:
        number: Counts the runs of the task.
        ended_ms: 0: it is under way, or was lost.
    """

    name: str
    number: int
    due_ms: int
    began_ms: int
    ended_ms: int
    result: RunResult | None
    attempts: int = 1
    error: str = ""
    process: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of one row, made if its conditions hold, and else not at all.

    Attributes:
        sets: Columns, by the names of ``TaskRow``.
        adds: How much is added to which.
        due_below_ms: Only while its ``due_at_ms`` is lower, and this time has come by the database's clock: the fence.
        run_id: Only while this run is under way; empty: only while none is; None: in either case.
        lost_by_ms: Only if that run should have been heard of until this time at the latest.
        version: Only while the row has it.
        record: Goes into the history with it.
    """

    name: str
    sets: Mapping[str, Any]
    adds: Mapping[str, int] = field(default_factory=dict)
    due_below_ms: int | None = None
    run_id: str | None = None
    lost_by_ms: int | None = None
    version: int | None = None
    record: RunRecord | None = None


def applied(step: Step, row: TaskRow) -> TaskRow:
    """Return a row as it is after a step."""
    added = {name: getattr(row, name) + amount for name, amount in step.adds.items()}
    return replace(row, **step.sets, **added, version=row.version + 1)


HISTORY = 100
"""Runs of a task that are kept."""


class TaskStore(Protocol):
    """The rows of all tasks. Each method raises ``LedgerError`` if the database refuses."""

    async def declare(self, rows: Sequence[TaskRow]) -> list[TaskRow]:
        """Add the rows of tasks that are not known, and return the rows of all these, in their order."""

    async def now_ms(self) -> int:
        """Return the time by the database's clock, which all processes share."""

    async def step(self, step: Step) -> bool:
        """Change a row if the conditions hold; return whether it was changed."""

    async def keep(self, process: str, until_ms: int) -> frozenset[str]:
        """Move the end of all runs of a process; return the ids of its runs."""

    async def overdue(self, before_ms: int, now_ms: int, *, limit: int) -> list[TaskRow]:
        """Return rows with something to do: due before a time, asked to run, or with a run that is lost."""

    async def changed_within(self, ms: int) -> list[TaskRow]:
        """Return the rows that were changed by hand so long ago at most, by the database's clock.

        A step that sets ``changed_at_ms`` sets it by that clock, too: those of two processes may be minutes apart.
        """

    async def rows(self) -> list[TaskRow]:
        """Return all rows, by name."""

    async def row(self, name: str) -> TaskRow | None:
        """Return one row; None: there is no such task."""

    async def mark_declared(self, names: Collection[str]) -> None:
        """Note which tasks there are; the others were declared by an earlier version of the program."""

    async def forget(self, name: str) -> bool:
        """Delete a task that is not declared any more, with its history; False: it is not known, or declared."""

    async def history(self, name: str) -> list[RunRecord]:
        """Return the last runs of a task, newest first."""
