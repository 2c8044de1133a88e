"""The rows of this process's tasks as they were read last, and steps of them."""

from __future__ import annotations

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.ports.task_store import Step, TaskRow, TaskStore, applied
from tempogram.engine.scheduler.agenda import Agenda
from tempogram.engine.scheduler.by_hand import at_declared
from tempogram.engine.scheduler.decisions import wakes_at_ms
from tempogram.engine.scheduler.endings import abandoned
from tempogram.engine.scheduler.entry import Entry
from tempogram.engine.scheduler.times import stored

log = structlog.get_logger()

RETRY_MS = 1_000
"""After the database refused."""


class KnownRows:
    """See the module. Whatever changes what is known of a row plans its task anew."""

    def __init__(self, store: TaskStore, agenda: Agenda, clock: Clock) -> None:
        self._store = store
        self._agenda = agenda
        self._clock = clock

    def take(self, entry: Entry, row: TaskRow) -> None:
        """Know a row as it was read, unless a newer one is known."""
        if row.version > entry.row.version:
            entry.row = row
            self._agenda.plan(entry)

    async def follow_declaration(self, entry: Entry) -> None:
        """Count due times by the task's own times, if its row was written by a program that declares others."""
        if entry.row.times == stored(entry.task.times):
            return
        try:
            step = at_declared(entry.row, entry.task.times)
        except Exception:
            log.exception("task_not_scheduled", task=entry.task.name)
        else:
            await self.change_or_read(entry, step)

    async def change_or_read(self, entry: Entry, step: Step) -> bool:
        """Make a step; if its conditions do not hold, know the row as it is. Raises ``LedgerError``."""
        known = entry.row.version
        if is_made := await self.change(entry, step):
            self._agenda.plan(entry)
        elif (row := await self._store.row(entry.task.name)) is not None:
            entry.row = row
            if row.version > known:
                self._agenda.plan(entry)
            else:
                at_ms = max(wakes_at_ms(entry.task, row) or 0, self._clock() + RETRY_MS)
                self._agenda.wake(entry, at_ms)
        return is_made

    async def change(self, entry: Entry, step: Step) -> bool:
        """Make a step; return whether its conditions held. Raises ``LedgerError``."""
        before = entry.row
        if not await self._store.step(step):
            return False
        if entry.row is before:
            entry.row = applied(step, before)
        elif (row := await self._store.row(entry.task.name)) is not None:  # it was read meanwhile, with the step or not
            entry.row = row
        return True

    async def give_up(self, name: str, run_id: str) -> None:
        """Let another process take a run for lost at once. Raises ``LedgerError``."""
        await self._store.step(abandoned(name, run_id))
