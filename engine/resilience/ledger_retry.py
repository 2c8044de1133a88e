"""What to do when the ledger refuses: repeat until it succeeds, or report the outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tempogram.engine.model.errors import LedgerError, UnstorableValue
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.retry import Sleep, retry

RETRY_S = 1.0
"""Between two tries; meanwhile the worker's heartbeat keeps the lease. untuned: a write that succeeds a second later
delays nothing but its own message."""

Answer = TypeVar("Answer")


async def retry_ledger(
    work: Callable[[], Awaitable[Answer]], *, conditions: Conditions, sleep: Sleep = asyncio.sleep
) -> Answer:
    """Repeat a read or a write until the ledger answers it; what it will never take is raised at once.

    Each caller reports the outage separately, until its own work succeeds.
    """
    caller = object()
    try:
        return await retry(
            work,
            on=LedgerError,
            unless=UnstorableValue,
            pause_s=RETRY_S,
            on_failure=lambda error: conditions.begin(Condition.LEDGER_AWAY, str(error), seen_by=caller),
            sleep=sleep,
        )
    finally:
        conditions.end(Condition.LEDGER_AWAY, seen_by=caller)


@contextmanager
def monitored(conditions: Conditions, *, seen_by: str) -> Iterator[None]:
    """Begin and end the ledger's outage by what happens in the block. For work that is repeated every few seconds."""
    try:
        yield
    except UnstorableValue:
        raise
    except LedgerError as error:
        conditions.begin(Condition.LEDGER_AWAY, str(error), seen_by=seen_by)
        raise
    conditions.end(Condition.LEDGER_AWAY, seen_by=seen_by)


@contextmanager
def observed(conditions: Conditions) -> Iterator[None]:
    """Report the ledger's outage for a few seconds. For work that is not repeated, or seldom."""
    try:
        yield
    except UnstorableValue:
        raise
    except LedgerError as error:
        conditions.observe(Condition.LEDGER_AWAY, str(error))
        raise
