"""Who may lead while it misses Redis: first whoever reaches it, and only if nobody does, one who does not.

    missed for ``MISSED_MS``      who leads steps aside; who does not lead, does not take the lead
    for ``AWAY_MS``               both may take it again. If another had it a moment ago they step aside once more, as
                                  one who reaches Redis may want it; if not, whoever gets it sends for all

So a worker whose network is cut, or whose password is wrong, does not make all others go by its memory. Where nobody
reaches Redis, one begins to send for all ``AWAY_MS`` after it was missed, and up to ``PROBE_S`` more until it looks for
the lead: some 3 s later than if nobody stepped aside, and some more where Redis does not even refuse, as a leader whose
question waits for an answer steps aside after that.
"""

from __future__ import annotations

import structlog

from engine.lead import Lead
from engine.ports import Clock
from engine.switched_broker import SwitchedBroker

log = structlog.get_logger()

MISSED_MS = 2_000
"""How long Redis is waited for, before another may lead. A guess: a restart takes a second or two."""

ASIDE_MS = 3_000
"""For how long the lead is left to others: each of them looks for it every ``PROBE_S``."""

AWAY_MS = 8_000
"""How long Redis is waited for, before one process sends for all: ``MISSED_MS``, two looks of a slow leader until it
steps aside, and what the others need to take the lead. A guess."""


class Candidacy:
    """That of one process for the lead.

    Args:
        has_rivals: Others have the same books. If not, there is nobody to step aside for, nor to send for.
    """

    def __init__(self, *, lead: Lead, switch: SwitchedBroker, clock: Clock, has_rivals: bool) -> None:
        self._lead = lead
        self._switch = switch
        self._clock = clock
        self._has_rivals = has_rivals
        self._aside_until_ms = 0

    async def stands(self) -> bool:
        """Tell whether this process may lead just now; if not, it does no more."""
        since_ms = self._missed_since_ms()
        if since_ms is None:
            return True
        if not self._lead.is_held:
            return self._clock() >= max(since_ms + AWAY_MS, self._aside_until_ms)
        if self._clock() < since_ms + MISSED_MS or self.may_send_for_all:
            return True
        await self._step_aside()
        return False

    @property
    def may_send_for_all(self) -> bool:
        """Whether this process, which leads, has missed Redis for long, and so does whoever else could lead."""
        since_ms = self._missed_since_ms()
        if since_ms is None or not self._lead.is_held:
            return False
        was_wanted = self._lead.taken_at_ms < self._lead.others_at_ms + ASIDE_MS
        return self._lead.taken_at_ms >= since_ms + AWAY_MS and not was_wanted

    async def _step_aside(self) -> None:
        log.warning("this process misses Redis, and leaves the lead to one that does not")
        self._aside_until_ms = self._clock() + ASIDE_MS
        await self._lead.leave()

    def _missed_since_ms(self) -> int | None:
        return self._switch.away_since_ms if self._has_rivals else None
