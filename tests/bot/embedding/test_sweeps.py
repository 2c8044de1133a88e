"""``tempogram.sweep``, in a program that runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

import tempogram
from tempogram import SweepOverdue
from tempogram.bot.embedding import current
from tests.bot.embedding.started import Engine

ENTRIES = [f"tweet{number:03}" for number in range(130)]


class Validation:
    """Notes the chunks that it checks; the ``killed_at``-th ends the program instead."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.chunks: list[list[str]] = []
        self.threads: set[int] = set()
        self._killed_at = killed_at

    async def __call__(self, entries: Sequence[str]) -> None:
        self.threads.add(threading.get_ident())
        if len(self.chunks) == self._killed_at:
            raise KeyError("killed")
        self.chunks.append(list(entries))


async def test_everything_is_gone_through_in_chunks_and_once_under_its_name(engine: Engine) -> None:
    validate = Validation()

    swept = await tempogram.sweep("freeze-7", ENTRIES, validate, pause_s=0.01)
    again = await tempogram.sweep("freeze-7", ENTRIES, validate, pause_s=0.01)

    assert [len(chunk) for chunk in validate.chunks] == [50, 50, 30]
    assert [entry for chunk in validate.chunks for entry in chunk] == ENTRIES
    assert (swept.total, swept.resumed_at, again.resumed_at) == (130, 0, 130)


async def test_a_sweep_goes_on_where_it_was_before_it_was_killed(engine: Engine) -> None:
    first, second = Validation(killed_at=1), Validation()
    with pytest.raises(KeyError):
        await tempogram.sweep("freeze-8", ENTRIES, first, pause_s=0)

    swept = await tempogram.sweep("freeze-8", ENTRIES, second, pause_s=0)

    assert (swept.resumed_at, [len(chunk) for chunk in second.chunks]) == (50, [50, 30])


async def test_a_sweep_in_another_thread_checks_in_that_threads_loop(engine: Engine) -> None:
    validate = Validation()

    def run() -> None:
        asyncio.run(tempogram.sweep("freeze-9", ENTRIES, validate, pause_s=0))

    await asyncio.to_thread(run)

    assert validate.threads.isdisjoint({threading.get_ident()})
    row = await engine.built.storage.sweeps.sweep("freeze-9")
    assert row is not None
    assert (row.done, row.ended_ms > 0) == (130, True)


async def test_a_deadline_ends_a_sweep_that_can_go_on(engine: Engine) -> None:
    with pytest.raises(SweepOverdue, match="sweep freeze-10 had gone through 50 of 130 at its deadline"):
        await tempogram.sweep("freeze-10", ENTRIES, Validation(), pause_s=0.05, deadline_s=0.03)


async def test_without_an_engine_a_sweep_says_so() -> None:
    with pytest.raises(RuntimeError) as refused:
        await tempogram.sweep("freeze-11", ENTRIES, Validation())

    assert str(refused.value) == current.NOT_RUNNING
