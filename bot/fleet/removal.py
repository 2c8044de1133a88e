"""Sees bots off that were removed: nothing goes out for them any more, and what waits is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from tempogram.bot.fleet.registry import Registry
from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, observed, retry_write
from tempogram.storage.bots import Bots, Removal

log = structlog.get_logger()

AGAIN_S = 3.0
"""Between two looks for what was being sent, or on its way into the schedule, at the time before.

Longer than it takes until all other processes know of the removal, and accept nothing more.
"""

RESUME_EVERY_S = 60.0
"""Between two looks for bots that left while the process that saw them off ended. A guess."""

ANSWER_WITHIN_S = 20.0
"""How long whoever removes a bot waits for the count; what is cancelled later is not in it."""


@dataclass(slots=True)
class RemovalInProgress:
    """One bot that leaves, with all messages below an id.

    Messages of a bot that is added again meanwhile have higher ids.
    """

    bot_id: int
    before_id: str
    cancelled: int = 0
    is_silent: asyncio.Event = field(default_factory=asyncio.Event)


class Removals:
    """See ``api.ports.Removals``. A removal is in the books first, so a crash leaves nothing half done."""

    def __init__(
        self,
        *,
        registry: Registry,
        bots: Bots,
        broker: Broker,
        closer: Closer,
        calls_end_within_s: float,
        ids: Ids,
        clock: Clock,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._bots = bots
        self._broker = broker
        self._closer = closer
        self._calls_end_within_s = calls_end_within_s
        self._ids = ids
        self._clock = clock
        self._conditions = conditions
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[int] = set()

    async def see_off(self, bot_id: int, *, keep_messages: bool) -> int:
        """See ``Removals``."""
        departure = self._departure(bot_id)
        self._begin(self._keep(departure) if keep_messages else self._clear(departure))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await departure.is_silent.wait()
        return departure.cancelled

    async def resume(self) -> None:
        """Go on with what a process that has ended left unfinished."""
        for bot_id, removal in (await self._bots.removed()).items():
            if removal is Removal.CANCEL and bot_id not in self._leaving:
                self._begin(self._clear(self._departure(bot_id)))

    async def keep_resuming(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            with contextlib.suppress(LedgerError), observed(self._conditions):
                await self.resume()
            await self._sleep(RESUME_EVERY_S)

    async def over(self) -> None:
        """Wait until nobody is leaving any more."""
        await asyncio.gather(*self._tasks)

    async def end(self) -> None:
        """Leave off; the next start goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _departure(self, bot_id: int) -> RemovalInProgress:
        self._leaving.add(bot_id)
        return RemovalInProgress(bot_id, before_id=self._ids.new(self._clock()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, departure: RemovalInProgress) -> None:
        while self._is_gone(departure) and not await self._try(departure, cancel=False):
            await self._sleep(AGAIN_S)
        departure.is_silent.set()
        await self._sleep(self._calls_end_within_s)
        self._end(departure)

    async def _clear(self, departure: RemovalInProgress) -> None:
        """Clear until nothing is left, and at least twice: a submission may have been under way the first time."""
        while self._is_gone(departure):
            is_clear = await self._try(departure, cancel=True)
            if is_clear and departure.is_silent.is_set():
                await self._mark_cleared(departure)
                break
            departure.is_silent.set()
            await self._sleep(AGAIN_S)
        departure.is_silent.set()
        self._end(departure)

    async def _mark_cleared(self, departure: RemovalInProgress) -> None:
        write = partial(self._bots.mark_cleared, departure.bot_id)
        await retry_write(write, sleep=self._sleep, conditions=self._conditions)

    async def _try(self, departure: RemovalInProgress, *, cancel: bool) -> bool:
        """Pause the bot and, if its messages are to go, cancel what waits; tell whether nothing is left to do."""
        try:
            await self._broker.pause(departure.bot_id, paused=True)
            if not cancel:
                return True
            with observed(self._conditions):
                cleared = await self._closer.clear_bot(departure.bot_id, before_id=departure.before_id)
        except (LedgerError, BrokerUnavailable) as error:  # told as conditions
            log.debug("not cleared yet", bot_id=departure.bot_id, error=str(error))
            return False
        departure.cancelled += cleared.ended
        return cleared.left == 0

    def _is_gone(self, departure: RemovalInProgress) -> bool:
        return self._registry.is_removed(departure.bot_id)

    def _end(self, departure: RemovalInProgress) -> None:
        self._leaving.discard(departure.bot_id)
        if self._is_gone(departure):
            self._registry.forget(departure.bot_id)
