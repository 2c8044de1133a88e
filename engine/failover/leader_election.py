"""Which process leads: one at a time, and one that reaches Redis if there is any.

A process that misses Redis goes through these steps, so that a worker whose network is cut, or whose password is wrong,
does not make all others work by its memory:

    Redis missed for ``MISSED_MS``     a leader steps aside; another process does not take the lead, and checks at every
                                       step whether it is free
    lead free for ``ASIDE_MS`` at      no process that reaches Redis could lead: this one takes the lead, and sends for
    every check, and Redis missed      all (``may_send_for_all``)
    for ``AWAY_MS``

Where Redis refuses all processes, one begins to send for all ``AWAY_MS`` after it was missed, and up to ``PROBE_S``
more. Where it does not even refuse, each question waits for its answer first, and a process that has not asked takes
the lead once more until it has: that is as long again, and up to a minute if all workers are idle and seldom ask.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Clock, Leadership
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

MISSED_MS = 2_000
"""How long the leader waits for Redis before it lets another lead. untuned: a restart takes a second or two."""

ASIDE_MS = 3_000
"""How long the lead must stay free: every process that reaches Redis tries to take it each ``PROBE_S``."""

AWAY_MS = 8_000
"""How long Redis is waited for before one process sends for all. untuned: a restart would be over by then."""

CHECK_S = 2.0
"""Between two checks whether this process leads. untuned: one short query."""

NOT_LEADER = "another process leads now, or has led; what this one has begun is begun anew"


class LeaderElection:
    """Decides whether this process leads.

    Args:
        has_rivals: Other processes share the ledger. If not, this one never steps aside; ``RedisMode`` tells when it
            sends from memory.
    """

    def __init__(self, lock: LeaderLock, *, broker: FailoverBroker, clock: Clock, has_rivals: bool) -> None:
        self._lock = lock
        self._broker = broker
        self._clock = clock
        self._has_rivals = has_rivals
        self._free_since_ms: int | None = None
        self._is_last = False  # no process that reaches Redis could lead

    async def leads(self) -> bool:
        """Tell whether this process leads now, and take the lead if it is free and this process should."""
        return await self._stands() and await self._lock.acquire()

    @property
    def is_leading(self) -> bool:
        return self._lock.is_held

    @property
    def may_send_for_all(self) -> bool:
        """Whether this process leads and misses Redis, as every other does that could lead."""
        return self._is_last and self._lock.is_held and self._missed_since_ms() is not None

    async def resign(self) -> None:
        """Leave the lead to another process."""
        await self._lock.release()

    async def withdraw(self) -> None:
        """Leave the lead for good."""
        await self._lock.abandon()

    async def _stands(self) -> bool:
        """Tell whether this process should lead; if not, it leads no more."""
        since_ms = self._missed_since_ms()
        if since_ms is None:
            self._free_since_ms, self._is_last = None, False
        elif not self._lock.is_held:
            self._is_last = await self._is_free_for_long() and self._clock() >= since_ms + AWAY_MS
            return self._is_last
        elif self._clock() >= since_ms + MISSED_MS and not self._is_last:
            await self._step_aside()
            return False
        return True

    async def _step_aside(self) -> None:
        log.warning("leader_stepped_aside", reason="this process misses Redis; another may reach it")
        await self._lock.release()
        self._free_since_ms = self._clock()

    async def _is_free_for_long(self) -> bool:
        if not await self._lock.is_free():
            self._free_since_ms = None
            return False
        if self._free_since_ms is None:
            self._free_since_ms = self._clock()
        return self._clock() - self._free_since_ms >= ASIDE_MS

    def _missed_since_ms(self) -> int | None:
        return self._broker.away_since_ms if self._has_rivals else None


class LeaderLock:
    """The lead as far as this process knows; it is confirmed before anything that two processes must not do at once."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._is_abandoned = False
        self.is_held = False

    async def acquire(self, *, surely: bool = False) -> bool:
        """Tell whether this process leads, and take the lead if it is free."""
        leads = not self._is_abandoned and await self._leadership.leads(surely=surely)
        if leads and not self.is_held:
            log.info("leader_elected")
        self.is_held = leads
        return leads

    async def is_free(self) -> bool:
        """Tell whether no process leads: the lead is taken for a moment, and given back."""
        if self._is_abandoned or not await self._leadership.leads():
            return False
        await self._leadership.resign()
        return True

    async def confirm(self) -> None:
        """Do nothing if this process still leads.

        Raises:
            BrokerUnavailable: Another process may be doing the same by now, or may have done it.
        """
        if not await self.acquire(surely=True):
            raise BrokerUnavailable(NOT_LEADER)

    async def release(self) -> None:
        self.is_held = False
        await self._leadership.resign()

    async def abandon(self) -> None:
        """Release it, and never acquire it again."""
        self._is_abandoned = True
        log.warning("leadership_abandoned", reason="a newer version of tempogram leads")
        await self.release()


async def while_leading(
    leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Run work whenever this process leads, and cancel it once another may; never returns.

    ``leadership`` need not be that of the queue's leader: the update sources have a lock of their own, and another
    process may hold it.

    Work that fails is begun again at the next check. When this is cancelled, another may lead at once.
    """
    try:
        while True:
            if await leadership.leads():
                await _lead(leadership, work, sleep)
            await sleep(CHECK_S)
    finally:
        await leadership.resign()


async def _lead(leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], sleep: Sleep) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done() and await leadership.leads():
            await sleep(CHECK_S)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("exclusive_work_failed", reason=type(error).__name__, exc_info=error)
