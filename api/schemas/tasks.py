"""Tasks in requests and responses, and what ``GET /health/cron`` answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.engine.ports.task_store import RunResult
from tempogram.engine.scheduler.status import TaskStatus
from tempogram.engine.scheduler.times import INTERVAL_MS_MAX, INTERVAL_MS_MIN


class TaskChange(RequestModel):
    """What is changed of a task: at once, for all processes, and until it is changed again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"interval_s": 180}, {"is_paused": True}],
            "anyOf": [{"required": ["interval_s"]}, given("is_paused", type="boolean")],
        }
    )

    interval_s: Annotated[float, Strict(), Field(ge=INTERVAL_MS_MIN / 1_000, le=INTERVAL_MS_MAX / 1_000)] | None = (
        Field(None, description="null: as it is declared.")
    )
    is_paused: Annotated[bool, Strict()] | None = Field(
        None, description="true: it does not run until this is false; a run that is under way goes on."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.changes_interval and self.is_paused is None:
            raise ValueError("say what to change: interval_s or is_paused")
        return self

    @property
    def changes_interval(self) -> bool:
        return "interval_s" in self.model_fields_set


class RunCountsOut(ResponseModel):
    """What came of all runs and due times."""

    runs: int = Field(description="Runs that have ended, those included that follow; lost ones are not.")
    failed: int
    timed_out: int
    cancelled: int
    lost: int = Field(description="Its process died during the run, or was cut off from the database.")
    overruns: int = Field(description="It was due while its last run was going.")
    missed: int = Field(description="It was due while no process ran it, and was not caught up.")


class RunOut(ResponseModel):
    """One run."""

    number: int
    due: datetime
    began: datetime
    ended: datetime | None
    duration_s: float | None
    result: RunResult | None
    attempts: int
    error: str | None
    process: str | None


class _Task(ResponseModel):
    """What is known of a task."""

    status: TaskStatus
    times: str = Field(examples=["every 120 s", "cron 0 9 * * * in Europe/Berlin"])
    interval_s: float | None = Field(description="Between its due times now; null: it is due by cron.")
    declared_interval_s: float | None
    cron: str | None
    zone: str | None
    next_run: datetime | None
    last_run: datetime | None = Field(description="When its last run began, or the one that is under way.")
    last_success: datetime | None
    last_duration_s: float | None
    last_result: RunResult | None
    last_error: str | None
    running_since: datetime | None
    running_in: str | None = Field(description="The process that runs it now.")
    is_paused: bool = Field(description="By hand.")
    paused_until: datetime | None = Field(description="After failures.")
    failures_in_a_row: int
    counts: RunCountsOut
    is_declared: bool = Field(description="false: it is left from an earlier version of the program.")


class TaskOut(_Task):
    """One task."""

    name: str


class TasksOut(ResponseModel):
    """All tasks, by name."""

    tasks: list[TaskOut]


class TaskHistoryOut(TaskOut):
    """One task with its last 100 runs, newest first."""

    history: list[RunOut]


class CronLineOut(ResponseModel):
    """One task, or one loop of a process."""

    service: str = Field(examples=["twitterPoller", "recoverer@1f2e3d4c"])
    last_run: datetime | None
    age_seconds: int | None
    status: TaskStatus


class BudgetOut(ResponseModel):
    """What is left of a budget."""

    tokens: float
    capacity: int


class CronHealthOut(ResponseModel):
    """How tasks, loops and budgets are."""

    timestamp: datetime
    services: list[CronLineOut]
    stalled_services: list[str]
    x_api_status: dict[str, BudgetOut] | None = Field(None, description="Budgets of the service x, by operation.")
    limits: dict[str, dict[str, BudgetOut]] | None = Field(
        description="The same of every service that has a count; null: Redis is away, or this process calls nothing."
    )


class CronTaskOut(CronLineOut, _Task):
    """Everything about one task, with its last 100 runs, newest first."""

    timestamp: datetime
    history: list[RunOut]


class CronLoopOut(CronLineOut):
    """Everything about one loop."""

    timestamp: datetime
    interval_s: float = Field(description="How often it is reported.")
    process: str
    role: str


CronServiceOut = CronTaskOut | CronLoopOut
