"""What the API shows for all processes: each adds what it has counted to sums in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports.totals import Totals
from tempogram.engine.resilience.retry import Sleep, retry

EVERY_S = 1.0
"""Between two additions of one process. untuned: a killed process takes with it what it counted in that time."""

RETRY_S_MAX = 30.0
"""Between two tries while the database is away. untuned: nothing is lost meanwhile, but with the process."""


class FleetCounts:
    """Sums of ``Metrics.shared`` over all processes, those that have ended included.

    Nothing is written while nothing is counted, and nothing read until the sums are asked for.
    """

    def __init__(self, metrics: Metrics, totals: Totals, *, sleep: Sleep = asyncio.sleep) -> None:
        self._metrics = metrics
        self._totals = totals
        self._sleep = sleep
        self._lock = asyncio.Lock()  # the sums are not read while it is unknown whether they have what is added
        self._added = dict.fromkeys(metrics.shared, 0)
        self._of_others = dict.fromkeys(metrics.shared, 0)

    @property
    def latest(self) -> Mapping[str, int]:
        """What this process has counted by now, and what the others had when the sums were read last."""
        return {name: count + self._of_others[name] for name, count in self._metrics.shared.items()}

    async def refresh(self) -> None:
        """Read what the others have counted.

        Raises:
            LedgerError: The database is away; the sums that were read last stay.
        """
        async with self._lock:
            sums = await self._totals.read()
            for name, added in self._added.items():
                self._of_others[name] = max(self._of_others[name], sums.get(name, 0) - added)

    async def flush(self) -> None:
        """Add what this process has counted since it did so last.

        Raises:
            LedgerError: The database is away; it is added the next time.
        """
        async with self._lock:
            counted = self._metrics.shared
            more = {name: count - self._added[name] for name, count in counted.items() if count > self._added[name]}
            if more:
                await self._totals.add(more)
                self._added = counted

    async def run(self) -> None:
        """Add whatever is counted, soon after it was, until cancelled."""
        while True:
            await self._metrics.changed.wait()
            self._metrics.changed.clear()
            await self._sleep(EVERY_S)
            await retry(self.flush, on=LedgerError, pause_s=EVERY_S, pause_s_max=RETRY_S_MAX, sleep=self._sleep)
