"""Takes back messages that wait, one at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tempogram.engine.model.errors import BrokerFull, BrokerUnavailable, LedgerError, NoQueue, QueueLost
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Broker, Clock, Ledger, Result, Results
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, retry_write

REFUSED = (QueueLost, BrokerFull, NoQueue)
"""What tells for sure that nothing was forgotten."""


class Cancellations:
    """Has the schedule forget a message, and then the ledger end it: what is forgotten nobody can lease.

    A message that only one of the two has would be overtaken by the next of its chat. So a ledger that cannot end it
    is asked again until it can, and a schedule that may have forgotten it though it did not say so is told of it
    again. A crash in between leaves it queued, and it is scheduled again.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        ledger: Ledger,
        results: Results,
        pending_admissions: PendingAdmissions,
        clock: Clock,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._ledger = ledger
        self._results = results
        self._pending_admissions = pending_admissions
        self._clock = clock
        self._conditions = conditions
        self._sleep = sleep
        self._insisting: set[asyncio.Task[bool]] = set()

    async def forget(self, message_id: str) -> bool:
        """Have nobody lease it any more; False if the schedule does not have it waiting.

        Raises:
            BrokerUnavailable: It waits as before.
        """
        try:
            (forgotten,) = await self._broker.cancel([message_id])
        except REFUSED:
            raise
        except BrokerUnavailable:  # it may have been obeyed
            self._pending_admissions.note([message_id])
            raise
        return forgotten

    async def end(self, message_id: str) -> bool:
        """End what was forgotten, and tell whoever waits for it; False if the ledger has another end of it.

        Raises:
            LedgerError: It is ended once the ledger can be written, unless this process ends before.
        """
        try:
            return await self._end(message_id)
        except LedgerError:
            insisting = asyncio.create_task(self._insist(message_id))
            self._insisting.add(insisting)
            insisting.add_done_callback(self._insisting.discard)
            raise

    async def _insist(self, message_id: str) -> bool:
        return await retry_write(lambda: self._end(message_id), sleep=self._sleep, conditions=self._conditions)

    async def _end(self, message_id: str) -> bool:
        if not await self._ledger.cancel(message_id, now_ms=self._clock()):
            return False
        # Once more: who rebuilds the schedule may have read it before the ledger ended it.
        with suppress(BrokerUnavailable):  # it has forgotten everything, or is rebuilt from the ledger, which knows
            await self._broker.cancel([message_id])
        await self._results.publish(Result(message_id, Status.CANCELLED, None))
        return True
