"""Reads the epoch each second, or less often while epochs are announced, and has this process's broker follow it."""

from __future__ import annotations

from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.ports import Clock, Epoch, Epochs, LeaseSource
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import monitored
from tempogram.engine.resilience.retry import Sleep

WATCH_S = 1.0
"""Between two readings of the epoch. untuned: a process stops to lease ``lease_ms`` after its last reading."""

SHARE_OF_LEASE = 6
"""While epochs are announced, one is read so many times in a lease. untuned: leases end that much earlier, as a process
leases until ``lease_ms`` after its last reading."""

BYPASSED_MS = 10_000
"""How long processes of another version count as present after their last sign of life. untuned: they give one each
``WATCH_S``."""


class EpochWatcher:
    """What this process knows of the epoch, and the way to begin the next one.

    Args:
        schema: The version of the queue that this process understands; the epochs that it begins are of this one.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        broker: FailoverBroker,
        schema: int,
        lease_ms: int,
        clock: Clock,
        conditions: Conditions,
    ) -> None:
        self.schema = schema
        self._announced_watch_s = max(WATCH_S, lease_ms / SHARE_OF_LEASE / 1_000)
        self._epochs = epochs
        self._broker = broker
        self._clock = clock
        self._conditions = conditions
        self._bypassed: int | None = None  # the epoch's count when it was read last
        self._bypassed_at_ms: int | None = None

    async def look(self) -> Epoch:
        """Read the epoch, and have the broker follow it."""
        at_ms = self._clock()
        epoch = await self._read()
        self._broker.follow(epoch, read_at_ms=at_ms)
        self._note_bypass(epoch)
        return epoch

    async def look_and_report(self) -> None:
        """Read the epoch, and let the leader know if this process can only write to the ledger."""
        epoch = await self.look()
        if self._broker.is_bypassed:
            await self._epochs.bypass(epoch)

    async def rest(self, sleep: Sleep) -> None:
        """Wait until the epoch is to be read again."""
        if self._epochs.are_announced and not self._broker.is_bypassed:
            await self._epochs.next(within_s=self._announced_watch_s)
        else:
            await sleep(WATCH_S)

    async def advance(self, after: Epoch, source: LeaseSource) -> Epoch:
        """Begin the next epoch, unless another process has; return the current one."""
        await self._epochs.advance(after, source, schema=self.schema)
        return await self.look()

    @property
    def is_bypassed(self) -> bool:
        """Whether other processes only write to the ledger, or have done so until a moment ago."""
        return self._bypassed_at_ms is not None and self._clock() - self._bypassed_at_ms < BYPASSED_MS

    async def _read(self) -> Epoch:
        """Read the epoch, and note if it cannot be read. That it can does not tell whether the ledger takes writes."""
        with monitored(self._conditions, seen_by="the epoch's reader"):
            return await self._epochs.current()

    def _note_bypass(self, epoch: Epoch) -> None:
        if self._bypassed is not None and self._bypassed != epoch.bypassed:
            if not self.is_bypassed:
                self._broker.trouble.set()
            self._bypassed_at_ms = self._clock()
        self._bypassed = epoch.bypassed
