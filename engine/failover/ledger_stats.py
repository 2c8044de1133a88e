"""Counts open messages from the ledger, while the queue cannot be asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from tempogram.engine.ports import Ledger, QueueStats
from tempogram.engine.resilience.kept_count import KeptCount


class LedgerStats:
    """Counts once for all callers at the same time, and for those soon after; see ``KeptCount``."""

    def __init__(self, ledger: Ledger, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._count = KeptCount(self._counted, seconds=seconds)

    async def stats(self) -> QueueStats:
        """Return how many messages are open, perhaps a moment ago.

        What is in flight counts as it did before. ``leased`` is None, as only the queue knows.

        Raises:
            LedgerError: The ledger cannot be read either.
        """
        return await self._count.get()

    async def _counted(self) -> QueueStats:
        counts = await self._ledger.open_counts()
        return QueueStats(waiting=counts.waiting, retry=counts.retry, leased=None)
