"""Extends the leases that a process holds, for as long as the process is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.retry import Sleep
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.lease_retry import BROKER_RETRY_S

log = structlog.get_logger()


class Heartbeat:
    """Extends them three times per lease time, and each second while the broker is away."""

    def __init__(self, *, broker: Broker, lease_ms: int, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._broker = broker
        self._lease_ms = lease_ms
        self._clock = clock
        self._sleep = sleep
        self._held: set[HeldLease] = set()

    def take(self, held: HeldLease) -> None:
        self._held.add(held)

    def let_go(self, held: HeldLease) -> None:
        self._held.discard(held)

    async def run(self) -> None:
        pause_s = self._lease_ms / 3_000
        is_extended = True
        while True:
            await self._sleep(pause_s if is_extended else min(BROKER_RETRY_S, pause_s))
            is_extended = await self.beat()

    async def beat(self) -> bool:
        """Extend each lease once; False if the broker could not be asked for all of them."""
        still_ours = [held for held in self._held if not held.is_lost]
        return all([await self._extend(some) for some in batches(still_ours, BATCH_MAX)])

    async def _extend(self, some: Sequence[HeldLease]) -> bool:
        until_ms = self._clock() + self._lease_ms
        try:
            kept = await self._broker.extend([held.lease for held in some], by_ms=self._lease_ms)
        except BrokerUnavailable:
            return False
        except Exception:
            log.exception("lease_extension_failed", leases=len(some))
            return False
        _confirm(zip(some, kept, strict=True), until_ms)
        return True


def _confirm(answers: Iterable[tuple[HeldLease, bool]], until_ms: int) -> None:
    for held, is_kept in answers:
        if is_kept:
            held.until_ms = max(held.until_ms, until_ms)
        else:
            held.is_lost = True
