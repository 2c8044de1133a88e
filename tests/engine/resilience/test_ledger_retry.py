"""A write that the ledger refuses is repeated, and the outage is reported meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
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


async def yielding(_: float) -> None:
    await asyncio.sleep(0)


async def accepted() -> None:
    """Be written at once."""


def refused_until(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def write() -> None:
        if not event.is_set():
            raise LedgerError("the disk is full")

    return write
