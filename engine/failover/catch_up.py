"""Admits what only the ledger has: all of it after something was missed, else page by page.

``Reconciler`` does the work; this says when, and from which id on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from tempogram.engine.failover.dead_processes import DeadProcesses
from tempogram.engine.model.errors import BrokerFull
from tempogram.engine.model.ids import earliest
from tempogram.engine.ports import Broker, Clock, Ledger
from tempogram.engine.recovery.reconciler import CATCH_UP_MS, RECONCILE_MS, RECONCILED_MS, Reconciler
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

TAKE_IN_MS = 1_000
"""What another process wrote to the ledger is admitted if the queue has not known it for so long."""

OVERLAP_MS = 10_000
"""How far back to look for what is to be taken in: clocks differ, and a commit may take long. untuned: the slow
comparison finds the rest."""

LEFT_MS = 60_000
"""How far back to look for what a dead process may have accepted and not admitted, as it missed Redis. untuned: the
slow comparison finds what is older."""


class CatchUp:
    """What the ledger may have and the queue has not.

    Args:
        on_death: Is called when a process has died, of whatever it may have left undone besides.
    """

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        ledger: Ledger,
        broker: Broker,
        lease_ms: int,
        dead_processes: DeadProcesses,
        on_death: Callable[[], None],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._reconciler = reconciler
        self._ledger = ledger
        self._broker = broker
        self._lease_ms = lease_ms
        self._dead_processes = dead_processes
        self._on_death = on_death
        self._clock = clock
        self._sleep = sleep
        self._behind_after: str | None = ""  # the ledger may have what the queue has not, after this id
        self._is_refused = False  # what was found missing waits until the queue has room for it
        self._taken_in_at_ms = 0
        self._reconciled_at_ms = self._interrupted_at_ms = clock()

    def begin_anew(self) -> None:
        """Forget what was found before another process led."""
        self._reconciler.forget()
        self._is_refused = False
        self.fall_behind()

    def fall_behind(self, *, after_id: str = "") -> None:
        """Look soon at all that is after an id: the ledger may have what the queue has not."""
        self._behind_after = after_id if self._behind_after is None else min(after_id, self._behind_after)

    async def compare(self, *, is_bypassed: bool) -> None:
        """Admit what only the ledger has, as far as it is time to look.

        ``is_bypassed``: other processes may write to the ledger alone.
        """
        await self._check_for_deaths()
        if self._behind_after is not None:
            await self._catch_up(self._behind_after)
        elif is_bypassed:
            await self._take_in()
        else:
            await self._reconcile()
        await self._settle_interrupted()

    async def take_in(self) -> None:
        """Admit what other processes only wrote to the ledger."""
        await self._take_in()
        await self._settle_interrupted()

    def was_rebuilt(self, *, at_ms: int) -> None:
        """Take in what was written to the ledger since then; before it, the queue has everything."""
        self._taken_in_at_ms = at_ms

    @property
    def looks_back_to_ms(self) -> int:
        """Since when the ledger may have messages that were not seen yet."""
        return max(0, self._taken_in_at_ms - OVERLAP_MS)

    async def _check_for_deaths(self) -> None:
        died_after_ms = await self._dead_processes.check()
        if died_after_ms is not None:
            log.info("dead_process_found", looked_back_ms=LEFT_MS)
            self.fall_behind(after_id=earliest(max(0, died_after_ms - LEFT_MS)))
            self._on_death()

    async def _catch_up(self, after_id: str) -> None:
        """Admit what only the ledger has.

        As long as there is no room for what was found, the ledger is not read for more; then it is read once more, as
        nothing that was refused meanwhile was noted.
        """
        was_refused = self._is_refused
        if not was_refused:
            await self._look_at_all(after_id)
        try:
            await self._reconciler.admit_missing(CATCH_UP_MS)
        except BrokerFull:
            self._is_refused = True  # which is a condition
        else:
            self._is_refused = False
            self._behind_after = after_id if was_refused else None

    async def _look_at_all(self, after_id: str) -> None:
        """Find what only the ledger has, and hold what Telegram throttled while the queue could not be reached."""
        self._taken_in_at_ms = self._clock()
        await self._broker.hold(await self._ledger.holds(self._clock()))
        await self._reconciler.find_missing(after_id=after_id)
        await self._sleep(CATCH_UP_MS / 1_000)

    async def _take_in(self) -> None:
        now_ms = self._clock()
        await self._reconciler.admit_missing(TAKE_IN_MS)
        await self._reconciler.find_missing(after_id=earliest(self.looks_back_to_ms))
        self._taken_in_at_ms = now_ms
        await self._reconcile()

    async def _reconcile(self) -> None:
        every_ms = RECONCILE_MS if self._reconciler.is_under_way else RECONCILED_MS
        if self._clock() - self._reconciled_at_ms >= every_ms:
            self._reconciled_at_ms = self._clock()
            await self._reconciler.reconcile_page()

    async def _settle_interrupted(self) -> None:
        """End what was marked as sending by a process that died, and that no queue knows."""
        if self._clock() - self._interrupted_at_ms >= self._lease_ms:
            self._interrupted_at_ms = self._clock()
            await self._ledger.settle_interrupted(self._clock(), longer_than_ms=2 * self._lease_ms)
