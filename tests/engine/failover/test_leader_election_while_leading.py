"""Work that only one process may do runs while the process leads, and ends with its lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tempogram.engine.failover.leader_election import while_leading


class Election:
    """A lead that a test gives and takes."""

    def __init__(self, *, leads: bool) -> None:
        self.is_ours = leads

    async def leads(self, *, surely: bool = False) -> bool:
        return self.is_ours

    async def resign(self) -> None:
        self.is_ours = False


class Work:
    """Runs until it is cancelled, or fails at once."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.fails = False

    async def __call__(self) -> None:
        self.begun += 1
        if self.fails:
            raise RuntimeError("it broke")
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


async def turn(_: float) -> None:
    await asyncio.sleep(0)


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def leading(election: Election, work: Work) -> AsyncIterator[None]:
    task = asyncio.create_task(while_leading(election, work, sleep=turn))
    try:
        await some_turns()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_work_runs_while_the_process_leads_and_ends_with_the_lead() -> None:
    election, work = Election(leads=True), Work()
    async with leading(election, work):
        assert work.running == 1
        election.is_ours = False
        await some_turns()
        assert work.running == 0


async def test_a_process_that_does_not_lead_takes_over_once_it_does() -> None:
    election, work = Election(leads=False), Work()
    async with leading(election, work):
        assert work.begun == 0
        election.is_ours = True
        await some_turns()
        assert (work.begun, work.running) == (1, 1)


async def test_work_that_failed_is_begun_again() -> None:
    election, work = Election(leads=True), Work()
    work.fails = True
    async with leading(election, work):
        work.fails = False
        await some_turns()
        assert work.running == 1
        assert work.begun > 1


async def test_the_end_of_the_process_ends_the_work_and_leaves_it_to_another() -> None:
    election, work = Election(leads=True), Work()
    async with leading(election, work):
        assert work.running == 1
    assert work.running == 0
    assert not election.is_ours
