"""How a task or a loop is, as an operator sees it: computed from its row, so that every process says the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.times import Every, read

STALLED_TIMES = 2
"""After so many intervals without a run a task is stalled."""

GRACE_MS = 5_000
"""How much later than due a run may begin without being late, jitter besides. untuned: a failover takes longer."""


class TaskStatus(Enum):
    """What an operator reads first; the worst that holds."""

    NEVER_RUN = "NEVER_RUN"
    HEALTHY = "HEALTHY"
    LATE = "LATE"
    STALLED = "STALLED"
    FAILING = "FAILING"
    PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHealth:
    """One task at one moment.

    Attributes:
        last_run_ms: When its last run began, one that is under way included; 0: it never ran.
        age_ms: How long ago; 0 if it never ran.
    """

    row: TaskRow
    status: TaskStatus
    last_run_ms: int
    age_ms: int
    is_paused_after_failures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHealth:
    """One loop of one process at one moment; ``age_ms``: how long ago it was seen to run."""

    beat: LoopBeat
    status: TaskStatus
    age_ms: int

    @property
    def name(self) -> str:
        """Return what no other loop is called: ``recoverer@1f2e3d4c``."""
        return f"{self.beat.loop}@{self.beat.process}"


def loop_health_of(beat: LoopBeat, now_ms: int) -> LoopHealth:
    """Return how a loop is.

    >>> beat = LoopBeat(process="1f2e3d4c", loop="recoverer", role="worker", at_ms=0, every_ms=60_000)
    >>> [loop_health_of(beat, seconds * 1_000).status.value for seconds in (60, 70, 130)]
    ['HEALTHY', 'LATE', 'STALLED']
    """
    age_ms = max(0, now_ms - beat.at_ms)
    if age_ms > STALLED_TIMES * beat.every_ms:
        status = TaskStatus.STALLED
    else:
        status = TaskStatus.LATE if age_ms > beat.every_ms + GRACE_MS else TaskStatus.HEALTHY
    return LoopHealth(beat=beat, status=status, age_ms=age_ms)


def health_of(row: TaskRow, now_ms: int, *, jitter_ms: int = 0) -> TaskHealth:
    """Return how a task is.

    >>> row = TaskRow(name="poll", times="every 120000 0", due_at_ms=0, next_due_ms=120_000, last_run_ms=1)
    >>> [health_of(row, minutes * 60_000).status.value for minutes in (1, 3, 5)]
    ['HEALTHY', 'LATE', 'STALLED']
    """
    last_run_ms = max(row.run_since_ms if row.run_id else 0, row.last_run_ms)
    return TaskHealth(
        row=row,
        status=_status(row, last_run_ms, now_ms, jitter_ms),
        last_run_ms=last_run_ms,
        age_ms=max(0, now_ms - last_run_ms) if last_run_ms else 0,
        is_paused_after_failures=now_ms < row.paused_until_ms,
    )


def _status(row: TaskRow, last_run_ms: int, now_ms: int, jitter_ms: int) -> TaskStatus:
    if row.is_paused or now_ms < row.paused_until_ms:
        return TaskStatus.PAUSED
    stalled_ms = _stalled_from_ms(row, last_run_ms)
    if stalled_ms is not None and now_ms > stalled_ms + jitter_ms:
        return TaskStatus.STALLED
    if row.is_failing:
        return TaskStatus.FAILING
    if row.next_due_ms and now_ms > row.next_due_ms + jitter_ms + GRACE_MS:
        return TaskStatus.LATE
    return TaskStatus.HEALTHY if last_run_ms else TaskStatus.NEVER_RUN


def _stalled_from_ms(row: TaskRow, last_run_ms: int) -> int | None:
    """Return from when on a task is stalled; None: what is due next says it all, or nothing is.

    With an interval: two intervals after its last run began, or after it was declared; but not before it is due, as
    when it chose the time of its next run itself. By cron: as long past its due time as that is past the one before.
    """
    try:
        times = read(row.times)
    except SettingsError:
        return None
    if not row.next_due_ms:
        return None
    if isinstance(times, Every):
        interval_ms = row.chosen_interval_ms or row.interval_ms or times.interval_ms
        return max((last_run_ms or row.anchor_ms) + STALLED_TIMES * interval_ms, row.next_due_ms)
    return row.next_due_ms + times.apart_ms(row.next_due_ms - 1)
