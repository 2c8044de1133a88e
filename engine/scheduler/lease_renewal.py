"""Renews the leases of the runs that are under way, and ends those that count as lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.scheduler.run import Run

log = structlog.get_logger()

RUN_LEASE_MS = 15_000
"""From when on a run counts as lost that was not heard of. untuned: a database that fails over takes a few seconds."""

KEEP_S = 4.0
KEEP_TIMEOUT_S = 1.5
RETRY_S = 1.0
KEPT_MARGIN_MS = 3_000
"""So long before they count as lost, runs of which the database cannot hear are cancelled: it leaves them time to end.
untuned: a second for a question that is not answered, one for the next, and one for the end."""

Keep = Callable[[int], Awaitable[frozenset[str]]]


class LeaseRenewal:
    """See the module.

    Args:
        keep: Moves the end of this process's runs in their rows, and returns the ids of those that are still its own.
        runs: Returns the runs that are under way here.
    """

    def __init__(self, keep: Keep, runs: Callable[[], Sequence[Run]], *, clock: Clock) -> None:
        self._keep = keep
        self._runs = runs
        self._clock = clock
        self._kept_ms = 0

    async def run(self) -> None:
        """Renew them until this is cancelled."""
        self._kept_ms = self._clock()
        pause_s = KEEP_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = KEEP_S if await self.renew() else RETRY_S

    async def renew(self) -> bool:
        """Renew what is under way now; return whether the database has heard of it."""
        # As they are now: a run that begins during the question is not in its answer.
        under_way, asked_ms = self._runs(), self._clock()
        kept = await self._asked(asked_ms + RUN_LEASE_MS) if under_way else frozenset()
        if kept is not None:
            self._kept_ms = asked_ms
        is_late = self._clock() >= self._kept_ms + RUN_LEASE_MS - KEPT_MARGIN_MS
        for run in under_way:
            if is_late if kept is None else run.run_id not in kept:
                run.cancel("it counts as lost: the database did not hear of it")
        return kept is not None

    async def _asked(self, until_ms: int) -> frozenset[str] | None:
        """Return which runs are still this process's own; None: the database does not say."""
        try:
            async with asyncio.timeout(KEEP_TIMEOUT_S):
                return await self._keep(until_ms)
        except (LedgerError, TimeoutError) as error:
            log.warning("task_runs_not_kept", reason=str(error) or "no answer in time")
            return None
