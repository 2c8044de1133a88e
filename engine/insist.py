"""Writes what must be written: a ledger that refuses is asked again until it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from engine.errors import LedgerError

log = structlog.get_logger()

AGAIN_S = 1.0
"""How long we wait for a ledger that refuses; meanwhile the worker's heartbeat keeps the lease. A guess."""

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")


async def insist(write: Callable[[], Awaitable[Answer]], *, sleep: Sleep = asyncio.sleep) -> Answer:
    """Return once the ledger has taken it."""
    while True:
        try:
            return await write()
        except LedgerError as error:
            log.warning("not recorded yet", error=str(error))
            await sleep(AGAIN_S)
