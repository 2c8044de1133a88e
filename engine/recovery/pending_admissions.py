"""What this process accepted and could not schedule: it goes into the schedule before whatever comes later.

So does what is left of a message that this process sent in part, if the schedule has forgotten its lease.

Otherwise the next message of the same chat would overtake it, as nobody else looks for it for half a minute
(see ``Reconciler``, and ``Leader``, which rebuild a schedule that is lost for everybody).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.ports import Broker, Ledger
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

RETRY_S_MIN, RETRY_S_MAX = 0.1, 1.0
"""Between two tries while nobody submits anything, longer each time. Guesses."""

NOTED_MAX = 100_000
"""Ids that are remembered, some 10 MB; what comes then is left to the reconciler, in no order. A guess."""


class PendingAdmissions:
    """Ids of messages that may be in the ledger alone; those that are, are scheduled in the order of their ids."""

    def __init__(self, *, ledger: Ledger, broker: Broker, closer: Closer, sleep: Sleep = asyncio.sleep) -> None:
        self._ledger = ledger
        self._broker = broker
        self._closer = closer
        self._sleep = sleep
        self._ids: set[str] = set()
        self._noted = asyncio.Event()
        self._scheduling: asyncio.Task[None] | None = None
        self._is_told = False
        self._scheduled_late = 0

    def note(self, message_ids: Iterable[str]) -> None:
        if len(self._ids) < NOTED_MAX:
            self._ids.update(message_ids)
        if self._ids:
            self._noted.set()

    @property
    def is_behind(self) -> bool:
        """Whether something was noted that is not scheduled yet, as far as anybody knows."""
        return bool(self._ids) or self._is_scheduling()

    async def run(self) -> None:
        """Schedule it also if nobody submits anything more, until cancelled."""
        pause_s = RETRY_S_MIN
        while True:
            await self._noted.wait()
            await self._sleep(pause_s)
            try:
                await self.schedule()
            except (BrokerUnavailable, LedgerError):  # told there, and by ``Conditions``
                pause_s = min(2 * pause_s, RETRY_S_MAX)
            else:
                self._noted.clear()
                pause_s = RETRY_S_MIN

    async def schedule(self) -> None:
        """Schedule what was noted; whoever comes meanwhile waits for the same.

        Raises:
            BrokerUnavailable: Some of it still is not scheduled, and stays noted.
            LedgerError: The same.
        """
        while self.is_behind:
            if self._scheduling is None or self._scheduling.done():
                self._scheduling = asyncio.create_task(self._schedule_all())
            await asyncio.shield(self._scheduling)

    def _is_scheduling(self) -> bool:
        return self._scheduling is not None and not self._scheduling.done()

    async def _schedule_all(self) -> None:
        for batch in batches(sorted(self._ids), BATCH_MAX):
            self._ids.difference_update(batch)  # before the schedule is asked: what is noted from now on is news
            try:
                await self._schedule(batch)
            except BaseException as error:
                self._ids.update(batch)
                if isinstance(error, BrokerUnavailable | LedgerError):
                    self._tell_beginning(error)
                raise
        if not self._ids:
            self._tell_end()

    async def _schedule(self, batch: Sequence[str]) -> None:
        known = await self._broker.knows(batch)
        missing = [each for each, is_known in zip(batch, known, strict=True) if not is_known]
        # Settling follows the ledger's commit: what is unknown and was sent is open there no more.
        messages = await self._ledger.open_among(missing) if missing else []
        if messages:
            admission = await self._broker.admit(messages, worker_id="", slots=0, capped=False)
            await self._closer.record_replaced(messages, admission.verdicts)
            self._scheduled_late += len(messages)

    def _tell_beginning(self, error: Exception) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning("accepted, to be scheduled later", error=str(error))

    def _tell_end(self) -> None:
        """Tell how many were scheduled late; others may have scheduled all that was put off, or ended it."""
        if self._is_told:
            log.warning("scheduled late", messages=self._scheduled_late)
        self._is_told, self._scheduled_late = False, 0
