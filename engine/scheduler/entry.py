"""What one process knows of one task."""

from __future__ import annotations

import secrets

from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.own_loop import OwnLoop
from tempogram.engine.scheduler.run import Run
from tempogram.engine.scheduler.task import Task


class Entry:
    """See the module; the scheduler changes it."""

    __slots__ = ("is_attended", "own_loop", "rests_until_ms", "row", "run", "run_id", "task", "wakes_ms")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.row = TaskRow(name=task.name)
        self.run: Run | None = None
        self.run_id = new_run_id()  # of the next run
        self.own_loop: OwnLoop | None = None
        self.wakes_ms = 0  # 0: it is not in the heap
        self.rests_until_ms = 0  # after an error
        self.is_attended = False

    @property
    def is_ours(self) -> bool:
        """Whether its run is here, so that this process looks after it even if another one leads."""
        return self.run is not None


def new_run_id() -> str:
    return secrets.token_hex(8)
