"""Reads the epoch again and again, and has this process go by it."""

from __future__ import annotations

from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.ports import Clock, Epoch, Epochs, Source
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import monitored

WATCH_S = 1.0
"""Between two readings of the epoch. From the design."""

BYPASSED_MS = 10_000
"""For how long others count as writing to the ledger alone, after they have last said so. A guess."""


class EpochWatcher:
    """One for each process.

    Args:
        form: The one in which this process understands the schedule, and begins epochs.
    """

    def __init__(
        self, *, epochs: Epochs, broker: FailoverBroker, schema: int, clock: Clock, conditions: Conditions
    ) -> None:
        self._epochs = epochs
        self._broker = broker
        self._schema = schema
        self._clock = clock
        self._conditions = conditions
        self._bypassed: int | None = None  # what the epoch told last
        self._bypassed_at_ms: int | None = None

    async def look(self) -> Epoch:
        """Read the epoch, and have this process go by it."""
        at_ms = self._clock()
        epoch = await self._read()
        self._broker.read(epoch, at_ms=at_ms)
        self._note_bypass(epoch)
        return epoch

    async def look_and_tell(self) -> None:
        """Read the epoch, and let the leader know if this process has to write to the ledger alone."""
        epoch = await self.look()
        if self._broker.is_bypassed:
            await self._epochs.bypass(epoch)

    async def advance(self, after: Epoch, source: Source) -> Epoch:
        """Begin the next epoch, unless another has; return the one that is."""
        await self._epochs.advance(after, source, schema=self._schema)
        return await self.look()

    @property
    def is_bypassed(self) -> bool:
        """Whether others write to the ledger alone, or have done so until a moment ago."""
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
