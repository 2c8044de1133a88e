"""All tasks and loops, as an operator sees them; and what an operator changes, in whichever process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError
from tempogram.engine.ports.beat_store import BeatStore
from tempogram.engine.ports.task_store import RunRecord, Step, TaskRow, TaskStore, applied
from tempogram.engine.scheduler import by_hand
from tempogram.engine.scheduler.status import LoopHealth, TaskHealth, health_of, loop_health_of
from tempogram.engine.scheduler.task import Task

TRIES = 10
"""How often a change is tried again that another one has overtaken: a task of 100 ms changes its row 20 times a
second, a change takes some milliseconds."""

AT_ONCE = 100
"""Tasks whose status is computed before others have their turn: 100 crons take 20 ms."""

Item = TypeVar("Item")
Seen = TypeVar("Seen")


class UnknownTask(EngineError):
    """There is no task of this name."""


class TaskConflict(EngineError):
    """A task is not in a state in which this can be done."""


class TaskBoard:
    """See the module.

    Args:
        clock: Of the loops, whose processes report by their own clocks. Tasks keep the database's.
        declared: The tasks that this process knows, by name: only these have a jitter that is known.
    """

    def __init__(
        self, store: TaskStore, beats: BeatStore, *, clock: Clock, declared: Mapping[str, Task] | None = None
    ) -> None:
        self._store = store
        self._beats = beats
        self._clock = clock
        self._declared = declared or {}

    async def tasks(self) -> list[TaskHealth]:
        """Return all tasks, by name; those of an earlier version of the program, too. Raises ``LedgerError``."""
        now_ms = await self._store.now_ms()
        return await _each(await self._store.rows(), lambda row: self._health(row, now_ms))

    async def loops(self) -> list[LoopHealth]:
        """Return the loops of all processes that live, by name. Raises ``LedgerError``."""
        now_ms = self._clock()
        return [loop_health_of(beat, now_ms) for beat in await self._beats.beats()]

    async def task(self, name: str) -> TaskHealth:
        """Return one task.

        Raises:
            UnknownTask: There is none of this name.
            LedgerError: The database refuses.
        """
        return self._health(await self._row(name), await self._store.now_ms())

    async def history(self, name: str) -> list[RunRecord]:
        """Return the last runs of a task, newest first. Raises ``LedgerError``."""
        return await self._store.history(name)

    async def pause(self, name: str) -> TaskHealth:
        """Let a task run no more until it is resumed. Raises as ``task``, and ``TaskConflict``."""
        return await self._changed(name, lambda row, now_ms: None if row.is_paused else by_hand.paused(row, now_ms))

    async def resume(self, name: str) -> TaskHealth:
        """End every pause of a task, that after failures, too. Raises as ``pause``, and ``SettingsError``."""

        def resumed(row: TaskRow, now_ms: int) -> Step | None:
            is_paused = row.is_paused or now_ms < row.paused_until_ms
            return by_hand.resumed(row, now_ms) if is_paused else None

        return await self._changed(name, resumed)

    async def set_interval(self, name: str, interval_ms: int) -> TaskHealth:
        """Run a task at another interval; 0: at the one that is declared. Raises as ``resume``."""

        def at_interval(row: TaskRow, now_ms: int) -> Step | None:
            is_so = interval_ms == row.chosen_interval_ms and not (interval_ms and row.interval_ms)
            return None if is_so else by_hand.at_interval(row, interval_ms, now_ms)

        return await self._changed(name, at_interval)

    async def run_now(self, name: str) -> TaskHealth:
        """Ask for a run of a task, which begins within some seconds. Raises as ``pause``."""

        def asked(row: TaskRow, now_ms: int) -> Step:
            if not row.is_declared:
                raise TaskConflict(f"no process has {name} any more, so it cannot run; forget it, or declare it again")
            if row.run_id and now_ms < row.run_until_ms:
                raise TaskConflict(f"{name} is running; wait for its end")
            return by_hand.run_now(row, now_ms)

        return await self._changed(name, asked)

    async def forget(self, name: str) -> None:
        """Delete a task that no process has any more, with its history. Raises as ``pause``."""
        if await self._store.forget(name):
            return
        await self._row(name)
        raise TaskConflict(f"{name} is declared; take it out of the program first, and start that again")

    async def _changed(self, name: str, step_of: Callable[[TaskRow, int], Step | None]) -> TaskHealth:
        """Make a step, again if the row has changed meanwhile; None: it is so already."""
        for _ in range(TRIES):
            row = await self._row(name)
            now_ms = await self._store.now_ms()
            step = step_of(row, now_ms)
            if step is None:
                return self._health(row, now_ms)
            if await self._store.step(step):
                return self._health(applied(step, row), now_ms)
        raise TaskConflict(f"{name} changed again and again meanwhile; try again")

    async def _row(self, name: str) -> TaskRow:
        row = await self._store.row(name)
        if row is None:
            raise UnknownTask(f"there is no task {name[:64]!r}")
        return row

    def _health(self, row: TaskRow, now_ms: int) -> TaskHealth:
        task = self._declared.get(row.name)
        return health_of(row, now_ms, jitter_ms=task.jitter_ms if task else 0)


async def _each(items: list[Item], seen: Callable[[Item], Seen]) -> list[Seen]:
    """Do something for each, and let others have their turn now and then."""
    made: list[Seen] = []
    for start in range(0, len(items), AT_ONCE):
        made += map(seen, items[start : start + AT_ONCE])
        await asyncio.sleep(0)
    return made
