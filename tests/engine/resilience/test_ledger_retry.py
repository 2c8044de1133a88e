"""A write that the ledger refuses is repeated, and the outage is reported meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError, UnstorableValue
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.ledger_retry import monitored, observed, retry_ledger
from tests.engine.desk import turns


async def test_a_refused_write_keeps_the_outage_open_while_other_writes_succeed() -> None:
    """Each write that succeeded ended the outage, and the next refusal began it again: two log lines a second."""
    conditions, refusing = Conditions(lambda: 0), asyncio.Event()
    with capture_logs() as logs:
        refused = asyncio.create_task(retry_ledger(refused_until(refusing), sleep=yielding, conditions=conditions))
        await turns(5)
        await retry_ledger(accepted, conditions=conditions)
        held_meanwhile = conditions.holds(Condition.LEDGER_AWAY)
        refusing.set()
        await refused

    assert held_meanwhile
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_a_write_that_is_cancelled_ends_its_report_of_the_outage() -> None:
    conditions = Conditions(lambda: 0)
    writing = asyncio.create_task(retry_ledger(refused_until(asyncio.Event()), sleep=yielding, conditions=conditions))
    await turns(5)
    held_meanwhile = conditions.holds(Condition.LEDGER_AWAY)

    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)

    assert (held_meanwhile, conditions.current) == (True, [])


async def test_what_the_ledger_will_never_take_is_neither_repeated_nor_an_outage() -> None:
    conditions, tries = Conditions(lambda: 0), []

    async def write() -> None:
        tries.append(1)
        raise UnstorableValue("the database takes no such value: a number is beyond its range")

    with pytest.raises(UnstorableValue):
        await retry_ledger(write, sleep=yielding, conditions=conditions)
    with pytest.raises(UnstorableValue), observed(conditions):
        await write()
    with pytest.raises(UnstorableValue), monitored(conditions, seen_by="a loop"):
        await write()

    assert (len(tries), conditions.current) == (3, [])


async def yielding(_: float) -> None:
    await asyncio.sleep(0)


async def accepted() -> None:
    """Be written at once."""


def refused_until(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def write() -> None:
        if not event.is_set():
            raise LedgerError("the disk is full")

    return write
