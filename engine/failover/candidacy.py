"""Who may lead while it misses Redis: first whoever reaches it, and only if nobody does, one who does not.

    missed for ``MISSED_MS``      who leads steps aside; who does not lead, does not take the lead, and looks at every
                                  step whether it is free
    free for ``ASIDE_MS``,        at every look: nobody could lead who reaches Redis. Whoever finds so takes the lead,
    missed for ``AWAY_MS``        and sends for all

So a worker whose network is cut, or whose password is wrong, does not make all others go by its memory. Where Redis
refuses everybody, one begins to send for all ``AWAY_MS`` after it was missed, and up to ``PROBE_S`` more. Where it does
not even refuse, each question waits for its answer first, and who has not asked takes the lead once more until it has:
that is as long again, and with idle workers, who ask now and then, up to a minute.
"""

from __future__ import annotations

import structlog

from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.failover.leader_election import LeaderLock
from tempogram.engine.ports import Clock

log = structlog.get_logger()

MISSED_MS = 2_000
"""How long Redis is waited for, before another may lead. A guess: a restart takes a second or two."""

ASIDE_MS = 3_000
"""For how long the lead must be free: whoever reaches Redis looks for it every ``PROBE_S``."""

AWAY_MS = 8_000
"""How long Redis is waited for, before one process sends for all. A guess: what refuses for so long is no restart."""


class Candidacy:
    """That of one process for the lead.

    Args:
        has_rivals: Others have the same books. If not, there is nobody to step aside for, nor to send for.
    """

    def __init__(self, *, lock: LeaderLock, broker: FailoverBroker, clock: Clock, has_rivals: bool) -> None:
        self._lock = lock
        self._broker = broker
        self._clock = clock
        self._has_rivals = has_rivals
        self._free_since_ms: int | None = None
        self._is_last = False  # nobody else leads who reaches Redis

    async def stands(self) -> bool:
        """Tell whether this process may lead just now; if not, it does no more."""
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

    @property
    def may_send_for_all(self) -> bool:
        """Whether this process, which leads, has missed Redis for long, and so does whoever else could lead."""
        return self._is_last and self._lock.is_held and self._missed_since_ms() is not None

    async def _step_aside(self) -> None:
        log.warning("this process misses Redis, and leaves the lead to one that does not")
        await self._lock.leave()
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
