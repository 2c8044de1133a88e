"""The scheduler, with the tasks of a user's modules and those of the engine itself."""

from __future__ import annotations

from collections.abc import Mapping

from tempogram.bot.config.environment import variables
from tempogram.bot.tasks.declared import RESERVED, declared
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every

HOUR_MS = 3_600_000


def tasks_of(storage: Storage) -> dict[str, Task]:
    """Return the tasks of the engine and of all modules, by name.

    Raises:
        SettingsError: The environment has an interval that makes no sense.
    """
    return {task.name: task for task in (*own_tasks(storage), *declared(variables()))}


def scheduler_of(context: Context, storage: Storage, tasks: Mapping[str, Task]) -> Scheduler:
    """Return the scheduler of a process that may run tasks."""
    return Scheduler(
        tasks.values(),
        storage.tasks,
        process=f"{storage.process:08x}",
        clock=context.clock,
    )


def own_tasks(storage: Storage) -> list[Task]:
    """Return what runs once for all processes, and not oftener than each minute."""
    return [
        Task(
            name=f"{RESERVED}retention",
            times=Every(HOUR_MS),
            work=storage.retention.purge,
            at_start=True,
            is_idempotent=True,
            timeout_ms=HOUR_MS,
            pause_after=0,
        )
    ]
