"""The lead: one process of a fleet has it, and does what only one may do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Leadership
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
"""Between two looks whether this process leads. A guess; it costs one short query."""

ANOTHER_LEADS = "another process leads now, or has led; what this one has begun is begun anew"


class LeaderLock:
    """What a keeper has, as far as it knows: it asks before whatever two must not do at once."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._is_given_up = False
        self.is_held = False

    async def take(self) -> bool:
        """Tell whether this process leads, and take the lead if nobody has it."""
        leads = not self._is_given_up and await self._leadership.leads()
        if leads and not self.is_held:
            log.info("this process leads")
        self.is_held = leads
        return leads

    async def is_free(self) -> bool:
        """Tell whether nobody leads: it is taken, and left to whoever wants it more."""
        if self._is_given_up or not await self._leadership.leads():
            return False
        await self._leadership.resign()
        return True

    async def retry_write(self) -> None:
        """Raise if another may be doing the same by now, or may have done it."""
        if not await self.take():
            raise BrokerUnavailable(ANOTHER_LEADS)

    async def give_up(self) -> None:
        """Leave the lead for good."""
        self._is_given_up = True
        log.warning("a newer version keeps the schedule; this process never leads again")
        await self.leave()

    async def leave(self) -> None:
        """Leave the lead to another."""
        self.is_held = False
        await self._leadership.resign()


async def while_leading(
    leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Run work whenever this process leads, and cancel it once another may; never returns.

    Work that fails is begun again at the next look. When this is cancelled, another may lead at once.
    """
    try:
        while True:
            if await leadership.leads():
                await _lead(leadership, work, sleep)
            await sleep(LOOK_EVERY_S)
    finally:
        await leadership.resign()


async def _lead(leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], sleep: Sleep) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done() and await leadership.leads():
            await sleep(LOOK_EVERY_S)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what one process does for all failed", reason=type(error).__name__, exc_info=error)
