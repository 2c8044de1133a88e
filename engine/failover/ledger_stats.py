"""Counts open messages from the ledger, while the queue cannot be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tempogram.engine.ports import Ledger, QueueStats

KEPT_S = 1.0
"""How long a count is shown. untuned: a person who watches sees no difference."""

KEPT_TIMES = 20
"""A count that takes long is shown for longer: at most one part in so many of a core counts. Measured on two busy
cores: a million open messages take 1.2 s in SQLite, and 6 s in PostgreSQL."""


class LedgerStats:
    """Counts once for all callers at the same time, and for those soon after.

    Args:
        seconds: A clock that never goes back.
    """

    def __init__(self, ledger: Ledger, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._counting: asyncio.Task[QueueStats] | None = None
        self._good_until_s = 0.0

    async def stats(self) -> QueueStats:
        """Return how many messages are open, perhaps a moment ago: see ``KEPT_S`` and ``KEPT_TIMES``.

        What is in flight counts as it did before. ``leased`` is None, as only the queue knows.

        Raises:
            LedgerError: The ledger cannot be read either.
        """
        if self._counting is None or (self._counting.done() and self._seconds() >= self._good_until_s):
            self._counting = asyncio.create_task(self._count())
        return await asyncio.shield(self._counting)  # a caller that gives up does not stop it for the others

    async def _count(self) -> QueueStats:
        began_s = self._good_until_s = self._seconds()  # if it fails, the next caller has it counted again
        counts = await self._ledger.open_counts()
        ended_s = self._seconds()
        self._good_until_s = ended_s + max(KEPT_S, KEPT_TIMES * (ended_s - began_s))
        return QueueStats(waiting=counts.waiting, retry=counts.retry, leased=None)
