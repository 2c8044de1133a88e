"""Writes down messages whose time ran out while they waited."""

from __future__ import annotations

from collections.abc import Sequence

from engine.messages import Outgoing, Status
from engine.ports import Clock, Fault, Ledger, Record, Result, Results


class Expiry:
    """Records what the broker found expired, and tells whoever waits for it."""

    def __init__(self, *, ledger: Ledger, results: Results, clock: Clock) -> None:
        self._ledger = ledger
        self._results = results
        self._clock = clock

    async def record(self, expired: Sequence[Outgoing]) -> None:
        """A crash before this loses nothing: the broker, rebuilt, finds them expired again."""
        if not expired:
            return
        await self._ledger.record([self._record_of(message) for message in expired])
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
