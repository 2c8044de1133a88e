"""Writes down messages whose time ran out while they waited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports import Clock, Fault, Ledger, Record, Result, Results
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, retry_write


class Expiry:
    """Records what the broker found expired, and tells whoever waits for it."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        results: Results,
        clock: Clock,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._results = results
        self._clock = clock
        self._conditions = conditions
        self._sleep = sleep

    async def record(self, expired: Sequence[Outgoing]) -> None:
        """A crash before this loses nothing: the broker, rebuilt, finds them expired again."""
        records = [self._record_of(message) for message in expired]
        await retry_write(lambda: self._ledger.record(records), sleep=self._sleep, conditions=self._conditions)
        for message in expired:
            await self._results.publish(Result(message.id, Status.EXPIRED, None))

    def _record_of(self, message: Outgoing) -> Record:
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=Status.EXPIRED,
            attempt=message.attempt,
            recorded_at_ms=self._clock(),
            fault=Fault(code=None, reason="its time ran out before its turn came"),
        )
