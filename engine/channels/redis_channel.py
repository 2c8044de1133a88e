"""What both Redis channels share: batches to the other processes, and the way back after an outage."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from tempogram.engine.channels.reconnect import AWAY, Reconnect, hang_up
from tempogram.engine.resilience.batcher import Batcher
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.retry import Sleep

REPLY_S = 2.0
"""How long an answer may take. What came later would be late anyway."""

HEARTBEAT_S = 30.0
"""How long a channel receives nothing before it asks whether Redis is still there. untuned: an outage is noticed sooner
by what is sent."""

Item = TypeVar("Item")


class RedisChannel(ABC, Generic[Item]):
    """Sends items behind the caller's back, and goes on by itself when Redis is back.

    Args:
        redis: See ``connect`` in ``brokers.redis.connection``; what receives takes a connection of its own from it.
        name: Of the items, as the reason of a condition names them.
        conditions: Where it notes that Redis is away; that it is back is noted while ``run`` runs.
        batch_max: Items that are sent at once.
        waiting_max: Items that may wait while a batch is on its way.
    """

    reply_s = REPLY_S

    def __init__(
        self,
        redis: Redis,
        *,
        name: str,
        conditions: Conditions,
        batch_max: int,
        waiting_max: int,
        heartbeat_s: float = HEARTBEAT_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._heartbeat_s = heartbeat_s
        self._batcher = Batcher(self._send_or_note, batch_max=batch_max, waiting_max=waiting_max)
        self._sending = Reconnect(f"{name} to other processes", conditions, sleep=sleep)
        self._receiving = Reconnect(f"{name} from other processes", conditions, sleep=sleep)
        self._unsent = asyncio.Event()  # something could not be sent

    async def flush(self) -> None:
        """Wait until every item was sent, or failed to be; for the end of a process."""
        await self._batcher.emptied()

    @abstractmethod
    async def _send(self, items: Sequence[Item]) -> None:
        """Send a batch; raise one of ``AWAY`` if Redis does not take it."""

    @abstractmethod
    async def _make_up(self) -> None:
        """Make up for what could not be sent, or only ask whether Redis is back; raise one of ``AWAY`` if it is not."""

    async def _run(self, receiving: Coroutine[Any, Any, None]) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(receiving)
            both.create_task(self._make_up_after_outages())

    async def _send_or_note(self, items: Sequence[Item]) -> None:
        try:
            await self._send(items)
        except AWAY as error:
            self._note_unsent(error)

    def _note_unsent(self, reason: BaseException | str) -> None:
        self._sending.begin(reason)
        self._unsent.set()

    async def _make_up_after_outages(self) -> None:
        """Ask for Redis after it took no item, until it is back: there may never be another item to send."""
        while True:
            await self._unsent.wait()
            await self._batcher.emptied()
            self._unsent.clear()  # before, as an item may fail to be sent meanwhile
            try:
                await self._make_up()
            except AWAY as error:
                self._note_unsent(error)
                await self._sending.pause()
            else:
                if not self._unsent.is_set():
                    self._sending.end()

    async def _wait_to_reconnect(self, error: BaseException) -> None:
        """Note that nothing can be received, drop the connections that broke, and wait before the next try."""
        self._receiving.begin(error)
        await hang_up(self._redis)
        await self._receiving.pause()

    def _in_time(self, *, after_s: float = 0) -> asyncio.Timeout:
        """Limit how long an answer may take; for ``after_s`` Redis was asked to hold it back."""
        return asyncio.timeout(after_s + self.reply_s)
