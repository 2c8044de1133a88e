"""Cancels what waits for a bot that was removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tempogram.engine.closing.closer import End, Withdrawal, Withdrawn
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports import Broker, Clock, Fault, Ledger, Results
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep

PAGE = 1_000
"""Messages read from the ledger at a time."""

REMOVED = End(Status.CANCELLED, Fault(code=None, reason="its bot was removed"))


class Clearance:
    """Ends a bot's waiting messages as cancelled, and tells whoever waits for them. Clear until none is left."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        clock: Clock,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._withdrawal = Withdrawal(
            ledger=ledger, broker=broker, results=results, conditions=conditions, clock=clock, sleep=sleep
        )

    async def clear(self, bot_id: int, *, before_id: str) -> Withdrawn:
        """Go once through what the ledger has of a bot, which must be paused, up to an id.

        Raises:
            LedgerError: Part of it is cancelled. The next round gets the rest.
            BrokerUnavailable: Likewise.
        """
        return await self._withdrawal.withdraw(self._pages(bot_id, before_id), REMOVED)

    async def _pages(self, bot_id: int, before_id: str) -> AsyncIterator[list[Outgoing]]:
        after_id = ""
        while page := await self._ledger.open_messages(after_id=after_id, limit=PAGE, bot_id=bot_id):
            after_id = page[-1].id
            yield [message for message in page if message.id < before_id]
            if after_id >= before_id:
                return
