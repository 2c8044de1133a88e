"""Finds messages whose worker lost its lease, and decides what becomes of them."""

from __future__ import annotations

import asyncio

import structlog

from engine.delivery import Attempt, Delivery
from engine.outcomes import Answer, Uncertain
from engine.ports import Broker, Clock
from engine.ports.broker import BATCH_MAX

log = structlog.get_logger()


class Recoverer:
    """Looks every ``interval_ms``. Nobody knows whether such a message was sent: it is uncertain."""

    def __init__(self, *, broker: Broker, delivery: Delivery, worker_id: str, interval_ms: int, clock: Clock) -> None:
        self._broker = broker
        self._delivery = delivery
        self._worker_id = worker_id
        self._interval_ms = interval_ms
        self._clock = clock

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_ms / 1_000)
            try:
                await self.recover_once()
            except Exception:
                log.exception("recovery failed", worker_id=self._worker_id)

    async def recover_once(self) -> int:
        """Conclude every attempt whose lease ran out, and return how many there were."""
        leases = await self._broker.recover(worker_id=self._worker_id, slots=BATCH_MAX)
        for lease in leases:
            now_ms = self._clock()
            lost = Answer(Uncertain("its worker lost the lease"), counted_at_ms=now_ms)
            log.warning("lease ran out", message_id=lease.message.id, attempt=lease.attempt)
            await self._delivery.conclude(Attempt(lease, now_ms, lost))
        return len(leases)
