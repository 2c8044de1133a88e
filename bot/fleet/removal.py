"""Completes the removal of bots: nothing is sent for them any more; what waits is cancelled or, if asked, kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from tempogram.api.core.ports import RemovalProgress
from tempogram.bot.fleet.registry import Registry
from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import observed, retry_ledger
from tempogram.engine.resilience.retry import Sleep
from tempogram.storage.bots import Bots, Removal

log = structlog.get_logger()

AGAIN_S = 3.0
"""Between two attempts to cancel what was being sent or admitted at the attempt before.

Longer than it takes until all other processes know of the removal, and accept nothing more.
"""

RESUME_EVERY_S = 60.0
"""Between two looks for removals whose process has ended; untuned: their bots are paused meanwhile."""

ANSWER_WITHIN_S = 10.0
"""How long the caller that removes a bot waits; then it gets the count so far. Shorter than a client's time-out."""


@dataclass(slots=True)
class RemovalInProgress:
    """A removed bot and all its messages below an id.

    Messages of a bot that is added again meanwhile have higher ids.
    """

    bot_id: int
    before_id: str
    cancelled: int = 0
    is_paused: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, cancelled: int) -> None:
        self.cancelled += cancelled


class Removals:
    """See ``api.core.ports.Removals``. A removal is stored first, so a crash leaves nothing half done."""

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
        conditions: Conditions,
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
        self._in_progress: dict[int, RemovalInProgress] = {}

    async def complete(self, bot_id: int, *, keep_messages: bool) -> RemovalProgress:
        """See ``Removals``."""
        removal = self._start(bot_id)
        self._run(self._keep_messages(removal) if keep_messages else self._cancel_messages(removal))
        return await self._progress(removal)

    async def progress(self, bot_id: int) -> RemovalProgress | None:
        """See ``Removals``. Two processes may continue one removal: the queue gives each message to one of them."""
        if not self._registry.is_removed(bot_id) or (await self._bots.removed()).get(bot_id) is not Removal.CANCEL:
            return None
        return await self._progress(self._in_progress.get(bot_id) or self._resume(bot_id))

    async def resume(self) -> None:
        """Continue the removals that a process which has ended left unfinished."""
        for bot_id, stored in (await self._bots.removed()).items():
            if stored is Removal.CANCEL and bot_id not in self._in_progress:
                self._resume(bot_id)

    async def keep_resuming(self) -> None:
        """Call ``resume`` regularly, until cancelled."""
        while True:
            with contextlib.suppress(LedgerError), observed(self._conditions):
                await self.resume()
            await self._sleep(RESUME_EVERY_S)

    async def wait(self) -> None:
        """Wait until every removal is complete."""
        await asyncio.gather(*self._tasks)

    async def end(self) -> None:
        """Stop; the next start continues."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, bot_id: int) -> RemovalInProgress:
        removal = RemovalInProgress(bot_id, before_id=self._ids.new(self._clock()))
        self._in_progress[bot_id] = removal
        return removal

    def _resume(self, bot_id: int) -> RemovalInProgress:
        removal = self._start(bot_id)
        self._run(self._cancel_messages(removal))
        return removal

    @staticmethod
    async def _progress(removal: RemovalInProgress) -> RemovalProgress:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await removal.is_paused.wait()
        return RemovalProgress(removal.cancelled, is_complete=removal.is_paused.is_set())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_messages(self, removal: RemovalInProgress) -> None:
        while self._is_gone(removal) and not await self._attempt(removal, cancel=False):
            await self._sleep(AGAIN_S)
        removal.is_paused.set()
        await self._sleep(self._calls_end_within_s)
        self._finish(removal)

    async def _cancel_messages(self, removal: RemovalInProgress) -> None:
        """Cancel until nothing is left, and at least twice: a submission may have been under way the first time."""
        while self._is_gone(removal):
            is_clear = await self._attempt(removal, cancel=True)
            if is_clear and removal.is_paused.is_set():
                await self._mark_cleared(removal)
                break
            removal.is_paused.set()
            await self._sleep(AGAIN_S)
        removal.is_paused.set()
        self._finish(removal)

    async def _mark_cleared(self, removal: RemovalInProgress) -> None:
        write = partial(self._bots.mark_cleared, removal.bot_id)
        await retry_ledger(write, sleep=self._sleep, conditions=self._conditions)

    async def _attempt(self, removal: RemovalInProgress, *, cancel: bool) -> bool:
        """Pause the bot and, if wanted, cancel what waits; tell whether nothing is left to do."""
        try:
            await self._broker.pause(removal.bot_id, paused=True)
            if not cancel:
                return True
            with observed(self._conditions):
                cleared = await self._closer.clear_bot(removal.bot_id, before_id=removal.before_id, count=removal.count)
        except (LedgerError, BrokerUnavailable) as error:  # reported as conditions
            log.debug("removal_not_complete", bot_id=removal.bot_id, error=str(error))
            return False
        return cleared.left == 0

    def _is_gone(self, removal: RemovalInProgress) -> bool:
        return self._registry.is_removed(removal.bot_id)

    def _finish(self, removal: RemovalInProgress) -> None:
        if self._in_progress.get(removal.bot_id) is removal:
            del self._in_progress[removal.bot_id]
        if self._is_gone(removal):
            self._registry.forget(removal.bot_id)
