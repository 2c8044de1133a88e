"""Takes back one message that waits."""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.errors import BrokerFull, BrokerUnavailable, LedgerError, NoQueue, QueueLost
from tempogram.engine.ports import Broker
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep

REFUSED = (QueueLost, BrokerFull, NoQueue)
"""What the broker raises only if it has forgotten nothing."""


class Cancellation(Enum):
    """What became of a cancellation."""

    DONE = auto()
    NOT_WAITING = auto()
    """The message does not wait in the queue; nothing has changed."""
    OTHER_END = auto()
    """The queue had it waiting, and the ledger has another end of it."""


class Cancellations:
    """Has the queue forget a message, and then the ledger end it: what is forgotten no worker can lease.

    A message that only one of the two has would be overtaken by the next of its chat. So a ledger that cannot end it
    is asked again until it can, and a message that the queue may have forgotten without an answer is admitted again.
    A crash in between leaves it open in the ledger, and it is admitted again.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        closer: Closer,
        pending_admissions: PendingAdmissions,
        conditions: Conditions,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._closer = closer
        self._pending_admissions = pending_admissions
        self._conditions = conditions
        self._sleep = sleep
        self._retries: set[asyncio.Task[bool]] = set()

    async def cancel(self, message_id: str) -> Cancellation:
        """End a message as cancelled, unless it does not wait in the queue, or has another end.

        Raises:
            BrokerUnavailable: It waits as before.
            LedgerError: It is not sent any more, and ends once the ledger can be written, unless this process ends
                before.
        """
        if not await self._forget(message_id):
            return Cancellation.NOT_WAITING
        return Cancellation.DONE if await self._end(message_id) else Cancellation.OTHER_END

    async def _forget(self, message_id: str) -> bool:
        try:
            (is_forgotten,) = await self._broker.cancel([message_id])
        except REFUSED:
            raise
        except BrokerUnavailable:  # only the answer may be lost
            self._pending_admissions.note([message_id])
            raise
        return is_forgotten

    async def _end(self, message_id: str) -> bool:
        try:
            return await self._closer.end_cancelled(message_id)
        except LedgerError:
            retry = asyncio.create_task(self._retry(message_id))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
            raise

    async def _retry(self, message_id: str) -> bool:
        end = self._closer.end_cancelled
        return await retry_ledger(lambda: end(message_id), sleep=self._sleep, conditions=self._conditions)
