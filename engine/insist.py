"""Writes what must be written: a ledger that refuses is asked again until it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from engine.conditions import Condition, Conditions
from engine.errors import LedgerError

log = structlog.get_logger()

AGAIN_S = 1.0
"""How long we wait for a ledger that refuses; meanwhile the worker's heartbeat keeps the lease. A guess."""

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")


async def insist(
    write: Callable[[], Awaitable[Answer]], *, sleep: Sleep = asyncio.sleep, conditions: Conditions | None = None
) -> Answer:
    """Return once the ledger has taken it. That it refuses is told once: by the conditions, if there are any."""
    refused = False
    while True:
        try:
            answer = await write()
        except LedgerError as error:
            if conditions is not None:
                conditions.begin(Condition.LEDGER_AWAY, str(error))
            elif not refused:
                log.warning("not recorded yet", error=str(error))
            refused = True
            await sleep(AGAIN_S)
        else:
            if conditions is not None:
                conditions.end(Condition.LEDGER_AWAY)
            return answer


@contextmanager
def heeded(conditions: Conditions) -> Iterator[None]:
    """Learn from one write whether the ledger is there."""
    try:
        yield
    except LedgerError as error:
        conditions.begin(Condition.LEDGER_AWAY, str(error))
        raise
    conditions.end(Condition.LEDGER_AWAY)
