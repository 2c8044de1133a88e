"""Writes what must be written: a ledger that refuses is asked again until it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.resilience.conditions import Condition, Conditions

log = structlog.get_logger()

RETRY_S = 1.0
"""How long we wait for a ledger that refuses; meanwhile the worker's heartbeat keeps the lease. A guess."""

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")


async def retry_write(
    write: Callable[[], Awaitable[Answer]], *, sleep: Sleep = asyncio.sleep, conditions: Conditions | None = None
) -> Answer:
    """Return once the ledger has taken it. That it refuses is told once: by the conditions, if there are any.

    Each who insists sees the ledger for himself, until this is over: what others write tells nothing of his.
    """
    refused, myself = False, object()
    try:
        while True:
            try:
                return await write()
            except LedgerError as error:
                if conditions is not None:
                    conditions.begin(Condition.LEDGER_AWAY, str(error), seen_by=myself)
                elif not refused:
                    log.warning("not recorded yet", error=str(error))
                refused = True
                await sleep(RETRY_S)
    finally:
        if conditions is not None:
            conditions.end(Condition.LEDGER_AWAY, seen_by=myself)


@contextmanager
def monitored(conditions: Conditions | None, *, seen_by: str) -> Iterator[None]:
    """Learn whether the ledger is there, and whether it is back: for who asks again and again, every few seconds."""
    try:
        yield
    except LedgerError as error:
        if conditions is not None:
            conditions.begin(Condition.LEDGER_AWAY, str(error), seen_by=seen_by)
        raise
    if conditions is not None:
        conditions.end(Condition.LEDGER_AWAY, seen_by=seen_by)


@contextmanager
def observed(conditions: Conditions | None) -> Iterator[None]:
    """Learn that the ledger is away: for who asks once, or seldom, and so would not learn soon that it is back."""
    try:
        yield
    except LedgerError as error:
        if conditions is not None:
            conditions.observe(Condition.LEDGER_AWAY, str(error))
        raise
