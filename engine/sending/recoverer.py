"""Finds messages whose lease expired while their worker held it, and concludes them."""

from __future__ import annotations

import structlog

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import observed
from tempogram.engine.resilience.retry import every
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.held_lease import HeldLease

log = structlog.get_logger()


class Recoverer:
    """Looks every ``interval_ms``. Whether such a message was sent is unknown, unless its outcome was recorded."""

    def __init__(
        self,
        *,
        broker: Broker,
        delivery: Delivery,
        worker_id: str,
        interval_ms: int,
        clock: Clock,
        conditions: Conditions,
    ) -> None:
        self._broker = broker
        self._delivery = delivery
        self._worker_id = worker_id
        self._interval_ms = interval_ms
        self._clock = clock
        self._conditions = conditions

    async def run(self) -> None:
        # What an outage interrupts is recovered later: those leases expire again.
        expected = (BrokerUnavailable, LedgerError)
        await every(self._interval_ms / 1_000, self._recover, failed="lease_recovery_failed", expected=expected)

    async def _recover(self) -> None:
        with observed(self._conditions):
            await self.recover_once()

    async def recover_once(self) -> int:
        """Conclude every attempt whose lease ran out, and return how many there were."""
        leases = await self._broker.recover(worker_id=self._worker_id, slots=BATCH_MAX)
        for lease in leases:
            log.warning("lease_expired", message_id=lease.message.id, attempt=lease.attempt)
        if leases:
            await self._delivery.conclude_lost([HeldLease(lease, lease.expires_at_ms, self._clock) for lease in leases])
        return len(leases)
