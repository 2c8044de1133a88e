"""The loop that fills free connections with messages whose turn has come."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from engine.batches import batches
from engine.delivery import Delivery
from engine.expiry import Expiry
from engine.messages import Lease
from engine.ports import Broker, Clock, Leased
from engine.ports.broker import BATCH_MAX

log = structlog.get_logger()

PAUSE_AFTER_ERROR_MS = 1_000
"""How long a worker rests when its broker failed. A guess."""


class Worker:
    """Sends with ``slots`` connections, and sleeps until the exact time at which it can go on.

    Never more leases than connections: a lease that waits for a connection keeps places from those that could go.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        delivery: Delivery,
        expiry: Expiry,
        worker_id: str,
        slots: int,
        lease_ms: int,
        clock: Clock,
    ) -> None:
        self.worker_id = worker_id
        self._broker = broker
        self._delivery = delivery
        self._expiry = expiry
        self._free = slots
        self._lease_ms = lease_ms
        self._clock = clock
        self._in_hand: dict[int, Lease] = {}  # by its number: one message may be leased again while it hangs here
        self._tasks: set[asyncio.Task[None]] = set()
        self._slot_freed = asyncio.Event()
        self._nap: asyncio.Task[None] | None = None
        self._stopping = False

    def reserve(self, slots_max: int) -> int:
        """Set slots aside for an admission; ``accept`` gives back those that it does not need."""
        reserved = 0 if self._stopping else min(self._free, slots_max)
        self._free -= reserved
        return reserved

    def accept(self, leased: Leased, *, reserved: int) -> None:
        """Send what was leased, and record what expired, each in a task of its own."""
        self._give_back(reserved - len(leased.leases))
        for lease in leased.leases:
            self._in_hand[lease.number] = lease
            self._start(self._deliver(lease))
        if leased.expired:
            self._start(self._expiry.record(leased.expired))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Work until ``stop``; what is in hand then is finished."""
        heartbeat = asyncio.create_task(self._beat())
        try:
            while not self._stopping:
                await self._rest(await self._work())
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            heartbeat.cancel()

    def stop(self) -> None:
        """Lease nothing more."""
        self._stopping = True
        if self._nap is not None:
            self._nap.cancel()

    async def _work(self) -> int | None:
        reserved = self.reserve(self._free)
        try:
            leased = await self._broker.lease(worker_id=self.worker_id, slots=reserved)
        except Exception:
            log.exception("lease failed", worker_id=self.worker_id)
            self._give_back(reserved)
            return self._clock() + PAUSE_AFTER_ERROR_MS
        self.accept(leased, reserved=reserved)
        return leased.wake_at_ms

    async def _rest(self, wake_at_ms: int | None) -> None:
        """Sleep until there is a slot and something to send with it."""
        if self._stopping:
            return
        self._slot_freed.clear()
        waking = self._broker.wait(wake_at_ms) if self._free else self._slot()
        self._nap = asyncio.create_task(waking)
        # Waited for, not awaited: ``stop`` cancels the nap, which is none of this loop's own cancellation.
        try:
            await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()

    async def _slot(self) -> None:
        await self._slot_freed.wait()

    async def _deliver(self, lease: Lease) -> None:
        try:
            await self._delivery.deliver(lease)
        except Exception:
            # Nothing is settled: the lease runs out, and the recoverer decides.
            log.exception("delivery failed", message_id=lease.message.id)
        finally:
            del self._in_hand[lease.number]
            self._give_back(1)

    def _give_back(self, slots: int) -> None:
        self._free += slots
        if slots:
            self._slot_freed.set()

    async def _beat(self) -> None:
        """Extend everything in hand three times a lease, for as long as this process is alive."""
        while True:
            await asyncio.sleep(self._lease_ms / 3_000)
            for leases in batches(list(self._in_hand.values()), BATCH_MAX):
                await self._extend(leases)

    async def _extend(self, leases: Sequence[Lease]) -> None:
        try:
            await self._broker.extend(leases, by_ms=self._lease_ms)
        except Exception:
            log.exception("leases not extended", worker_id=self.worker_id, leases=len(leases))
