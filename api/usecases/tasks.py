"""Shows tasks, and changes and runs them in whichever process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.tasks import TaskChange
from tempogram.api.usecases.tasks_shown import Shown, runs, task_details
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.status import TaskHealth


async def show_all(dependencies: Dependencies) -> Shown:
    return {"tasks": [_shown(each) for each in await dependencies.tasks.tasks()]}


async def show(dependencies: Dependencies, name: str) -> Shown:
    """Show one task with its last runs; raises ``UnknownTask``."""
    health = await dependencies.tasks.task(name)
    return {**_shown(health), "history": runs(await dependencies.tasks.history(name))}


async def change(dependencies: Dependencies, name: str, wanted: TaskChange) -> Shown:
    """Change what is given, and show the task.

    Raises:
        UnknownTask: There is no such task.
        Refusal: The interval makes no sense for it; nothing was changed.
    """
    board = dependencies.tasks
    with _refusals():
        health = await board.task(name)
        before = _noted(health)
        if wanted.changes_interval:
            health = await board.set_interval(name, round((wanted.interval_s or 0) * 1_000))
        if wanted.is_paused is not None:
            health = await (board.pause if wanted.is_paused else board.resume)(name)
    note(before=before, after=_noted(health))
    return _shown(health)


async def run(dependencies: Dependencies, name: str) -> Shown:
    return _shown(await dependencies.tasks.run_now(name))


async def forget(dependencies: Dependencies, name: str) -> Shown:
    """Delete a task that is declared no more, and show what it was."""
    health = await dependencies.tasks.task(name)
    await dependencies.tasks.forget(name)
    return _shown(health)


def _shown(health: TaskHealth) -> Shown:
    return {"name": health.row.name, **task_details(health)}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise Refusal(str(error)) from None


def _noted(health: TaskHealth) -> Shown:
    row = health.row
    return {"interval_s": row.chosen_interval_ms / 1_000 or None, "is_paused": row.is_paused}
