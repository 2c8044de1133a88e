from __future__ import annotations

import asyncio

import pytest

from tempogram.engine.bulk.notes import GAP_S, PATIENCE_S, Notes
from tempogram.engine.model.errors import LedgerAway, UnstorableValue
from tests.virtual_time import in_virtual_time


class Writes:
    """Notes when it was written; ``error`` is raised instead."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.error: Exception | None = None
        self.broken = 0

    async def __call__(self) -> None:
        await asyncio.sleep(0.002)
        if self.error is not None:
            raise self.error
        self.at_s.append(round(asyncio.get_running_loop().time(), 3))

    def notes(self) -> Notes:
        return Notes(self, self._break)

    def _break(self) -> None:
        self.broken += 1


def test_a_change_is_written_at_once_and_those_soon_after_it_together() -> None:
    async def work() -> None:
        writes = Writes()
        notes = writes.notes()
        for _ in range(100):
            notes.change()
            await asyncio.sleep(0.001)
        await notes.close()

        assert writes.at_s == [0.002, round(0.004 + GAP_S, 3), 0.102]

    in_virtual_time(work())


def test_what_waits_for_its_note_does_not_wait_for_the_gap() -> None:
    async def work() -> None:
        writes = Writes()
        notes = writes.notes()
        notes.change()
        await asyncio.sleep(0.001)

        await asyncio.gather(*(notes.written() for _ in range(10)))

        assert writes.at_s == [0.002, 0.004]
        await asyncio.sleep(0.01)
        await notes.written()
        assert writes.at_s == [0.002, 0.004, 0.016]
        await notes.close()

    in_virtual_time(work())


def test_closing_writes_what_is_not_yet_written_and_nothing_else() -> None:
    async def work() -> None:
        writes, idle = Writes(), Writes()
        notes, others = writes.notes(), idle.notes()
        notes.change()

        await notes.close()
        await others.close()

        assert (len(writes.at_s), idle.at_s) == (1, [])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(work())


def test_a_database_that_is_away_is_tried_for_a_while_and_then_all_that_wait_are_refused() -> None:
    async def work() -> None:
        writes = Writes()
        writes.error = LedgerAway("away")
        notes = writes.notes()

        refused = await asyncio.gather(notes.written(), notes.written(), return_exceptions=True)

        assert [*refused] == [writes.error] * 2
        assert PATIENCE_S <= asyncio.get_running_loop().time() <= PATIENCE_S + 2
        assert writes.broken == 1
        with pytest.raises(LedgerAway):
            await notes.written()
        await notes.close()

    in_virtual_time(work())


def test_what_the_database_never_takes_is_not_tried_again() -> None:
    async def work() -> None:
        writes = Writes()
        writes.error = UnstorableValue("never")
        notes = writes.notes()

        with pytest.raises(UnstorableValue):
            await notes.written()

        assert asyncio.get_running_loop().time() < 0.1
        await notes.close()

    in_virtual_time(work())
