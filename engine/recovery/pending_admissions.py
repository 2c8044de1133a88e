"""Messages that this process accepted and could not admit to the queue: they are admitted before any later one.

So is what is left of a message that this process sent in part, if the queue has forgotten its lease.

Otherwise the next message of the same chat would overtake them: the ``Reconciler`` of another process looks for them
only after half a minute. (A queue that is lost for all processes is rebuilt by the ``Leader``.)
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
from tempogram.engine.resilience.retry import Sleep, retry

log = structlog.get_logger()

RETRY_S_MIN, RETRY_S_MAX = 0.1, 1.0
"""Pause between two tries while nothing is submitted, longer each time. untuned: a submission tries at once."""

NOTED_MAX = 100_000
"""Ids that are remembered, some 10 MB. untuned: the reconciler admits what is beyond it, in no order."""


class PendingAdmissions:
    """Ids of messages that may be in the ledger alone; those that are, are admitted in the order of their ids."""

    def __init__(self, *, ledger: Ledger, broker: Broker, closer: Closer, sleep: Sleep = asyncio.sleep) -> None:
        self._ledger = ledger
        self._broker = broker
        self._closer = closer
        self._sleep = sleep
        self._ids: set[str] = set()
        self._noted = asyncio.Event()
        self._admitting: asyncio.Task[None] | None = None
        self._is_deferral_logged = False
        self._admitted_late = 0

    def note(self, message_ids: Iterable[str]) -> None:
        """Remember messages that may be in the ledger alone."""
        if len(self._ids) < NOTED_MAX:
            self._ids.update(message_ids)
        if self._ids:
            self._noted.set()

    @property
    def is_behind(self) -> bool:
        """Whether something was noted and may not be admitted yet."""
        return bool(self._ids) or self._is_admitting()

    async def run(self) -> None:
        """Admit what was noted also if nothing more is submitted, until cancelled."""
        while True:
            await self._noted.wait()
            await self._sleep(RETRY_S_MIN)
            await retry(
                self.admit,
                on=(BrokerUnavailable, LedgerError),  # logged there, and shown by ``Conditions``
                pause_s=2 * RETRY_S_MIN,
                pause_s_max=RETRY_S_MAX,
                sleep=self._sleep,
            )
            self._noted.clear()

    async def admit(self) -> None:
        """Admit what was noted; callers that come meanwhile wait for the same task.

        Raises:
            BrokerUnavailable: Some of it still is not admitted, and stays noted.
            LedgerError: The same.
        """
        while self.is_behind:
            if self._admitting is None or self._admitting.done():
                self._admitting = asyncio.create_task(self._admit_all())
            await asyncio.shield(self._admitting)

    def _is_admitting(self) -> bool:
        return self._admitting is not None and not self._admitting.done()

    async def _admit_all(self) -> None:
        for batch in batches(sorted(self._ids), BATCH_MAX):
            self._ids.difference_update(batch)  # before the queue is asked: what is noted from now on is new
            try:
                await self._admit(batch)
            except BaseException as error:
                self._ids.update(batch)
                if isinstance(error, BrokerUnavailable | LedgerError):
                    self._log_deferral(error)
                raise
        if not self._ids:
            self._log_recovery()

    async def _admit(self, batch: Sequence[str]) -> None:
        known = await self._broker.knows(batch)
        missing = [each for each, is_known in zip(batch, known, strict=True) if not is_known]
        # Settling follows the ledger's commit: what is unknown and was sent is open there no more.
        messages = await self._ledger.open_among(missing) if missing else []
        if messages:
            admission = await self._broker.admit(messages, worker_id="", slots=0, capped=False)
            await self._closer.record_replaced(messages, admission.verdicts)
            self._admitted_late += len(messages)

    def _log_deferral(self, error: Exception) -> None:
        if not self._is_deferral_logged:
            self._is_deferral_logged = True
            log.warning("admission_deferred", error=str(error))

    def _log_recovery(self) -> None:
        """Log how many were admitted late; 0 if other processes have admitted or ended them."""
        if self._is_deferral_logged:
            log.warning("deferred_messages_admitted", messages=self._admitted_late)
        self._is_deferral_logged, self._admitted_late = False, 0
