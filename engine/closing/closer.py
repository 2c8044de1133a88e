"""Ends messages that wait and shall not be sent any more: those of a removed bot, or for a chat that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.model.outcomes import Outcome
from tempogram.engine.ports import Broker, Clock, Fault, Ledger, Record, Result, Results
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, retry_write


@dataclass(frozen=True, slots=True)
class End:
    """How they end. ``outcome`` is told to whoever awaits one."""

    status: Status
    fault: Fault
    outcome: Outcome | None = None


@dataclass(slots=True)
class Withdrawn:
    """How many were ended, and how many were left: being sent just now, or not scheduled yet."""

    ended: int = 0
    left: int = 0


class Withdrawal:
    """Ends what the broker forgets.

    The broker is asked first: what it has forgotten nobody can lease, and the ledger may end it. What it does not
    forget is left. A crash in between leaves all of them queued.
    """

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
        self._broker = broker
        self._results = results
        self._clock = clock
        self._conditions = conditions
        self._sleep = sleep

    async def withdraw(self, pages: AsyncIterator[Sequence[Outgoing]], end: End) -> Withdrawn:
        """End what is on these pages.

        Raises:
            LedgerError: A page could not be read; those before it are ended.
            BrokerUnavailable: Some are not ended, and wait as before.
        """
        withdrawn = Withdrawn()
        async for page in pages:
            for batch in batches(page, BATCH_MAX):
                ended = await self._end(batch, end)
                withdrawn.ended += ended
                withdrawn.left += len(batch) - ended
                await asyncio.sleep(0)  # a million of them must not keep everybody else from their turn
        return withdrawn

    async def _end(self, batch: Sequence[Outgoing], end: End) -> int:
        forgotten = await self._broker.cancel([message.id for message in batch])
        ended = [message for message, is_forgotten in zip(batch, forgotten, strict=True) if is_forgotten]
        records = [self._record_of(message, end) for message in ended]
        if records:
            # Insisted on: nobody else knows of them any more.
            await retry_write(lambda: self._ledger.record(records), sleep=self._sleep, conditions=self._conditions)
            await self._forget_again(ended)
        for message in ended:
            await self._results.publish(Result(message.id, end.status, end.outcome))
        return len(ended)

    async def _forget_again(self, ended: Sequence[Outgoing]) -> None:
        """Let the broker forget them once more: who rebuilds it may have read them before the ledger ended them."""
        with suppress(BrokerUnavailable):  # it has forgotten everything, or is rebuilt from the ledger, which knows
            await self._broker.cancel([message.id for message in ended])

    def _record_of(self, message: Outgoing, end: End) -> Record:
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=end.status,
            attempt=message.attempt,
            recorded_at_ms=self._clock(),
            fault=end.fault,
        )
