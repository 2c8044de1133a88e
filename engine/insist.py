"""Writes what must be written: a ledger that refuses is asked again until it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from engine.errors import LedgerError

log = structlog.get_logger()

AGAIN_S = 1.0
"""How long we wait for a ledger that refuses; meanwhile the worker's heartbeat keeps the lease. A guess."""

Sleep = Callable[[float], Awaitable[None]]


async def insist(write: Callable[[], Awaitable[None]], *, sleep: Sleep = asyncio.sleep) -> None:
    """Return once the ledger has taken it."""
    while True:
        try:
            return await write()
        except LedgerError as error:
            log.warning("not recorded yet", error=str(error))
            await sleep(AGAIN_S)
