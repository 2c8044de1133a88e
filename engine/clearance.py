"""Cancels what waits for a bot that was removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from engine.batches import batches
from engine.messages import Outgoing, Status
from engine.ports import Broker, Clock, Fault, Ledger, Record, Result, Results
from engine.ports.broker import BATCH_MAX

PAGE = 1_000
"""Messages read from the ledger at a time."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many were cancelled, and how many were left: being sent just now, or not scheduled yet."""

    cancelled: int
    left: int


class Clearance:
    """Ends a bot's waiting messages as cancelled, and tells whoever waits for them.

    The broker is asked first: what it has forgotten nobody can lease, and the ledger may end it. What it does not
    forget is left; clear again until nothing is. A crash in between leaves all of them queued.
    """

    def __init__(self, *, ledger: Ledger, broker: Broker, results: Results, clock: Clock) -> None:
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._clock = clock

    async def clear(self, bot_id: int, *, before_id: str) -> Cleared:
        """Go once through what the ledger has of a bot, which must be paused, up to an id.

        Raises:
            LedgerError: Part of it is cancelled. The next round gets the rest.
            BrokerUnavailable: Likewise.
        """
        found, cancelled, after_id = 0, 0, ""
        while page := await self._page(bot_id, after_id, before_id):
            found, after_id = found + len(page), page[-1].id
            for batch in batches(page, BATCH_MAX):
                cancelled += await self._cancel(batch)
                await asyncio.sleep(0)  # a million of them must not keep everybody else from their turn
        return Cleared(cancelled, found - cancelled)

    async def _page(self, bot_id: int, after_id: str, before_id: str) -> list[Outgoing]:
        page = await self._ledger.open_messages(after_id=after_id, limit=PAGE, bot_id=bot_id)
        return [message for message in page if message.id < before_id]

    async def _cancel(self, batch: Sequence[Outgoing]) -> int:
        forgotten = await self._broker.cancel([message.id for message in batch])
        ended = [message for message, is_forgotten in zip(batch, forgotten, strict=True) if is_forgotten]
        if ended:
            await self._ledger.record([self._record_of(message) for message in ended])
        for message in ended:
            await self._results.publish(Result(message.id, Status.CANCELLED, None))
        return len(ended)

    def _record_of(self, message: Outgoing) -> Record:
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=Status.CANCELLED,
            attempt=message.attempt,
            recorded_at_ms=self._clock(),
            fault=Fault(code=None, reason="its bot was removed"),
        )
