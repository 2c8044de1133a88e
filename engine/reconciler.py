"""Compares the ledger with the schedule, slowly and always: what one has and the other forgot goes on.

A message can be in the ledger alone when a process failed between the two: after the
ledger's commit and before the admission, or after a cancellation that the ledger
could not record. It is in the ledger alone for a moment whenever it is submitted or
replayed (the ledger has it first) or cancelled (the schedule forgets it first); so only what
the schedule does not know at any look for ``MISSING_MS`` is scheduled again. Settling follows the
ledger's commit, so what is still open there after that was never settled, and nothing is
sent twice by this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from engine.batches import batches
from engine.ports import Broker, Clock, Ledger
from engine.ports.broker import BATCH_MAX
from engine.replacements import Replacements

log = structlog.get_logger()

PAGE = 1_000
"""Ids compared at a time: a few milliseconds of work."""

MISSING_MS = 30_000
"""A submission, a cancellation or a replay is over by then, or has failed: no write waits longer for its database.
A crash between the two steps of one costs the message this delay."""


class Reconciler:
    """Looks at one page every ``interval_ms``, and begins again at the oldest after the last."""

    def __init__(
        self, *, ledger: Ledger, broker: Broker, replacements: Replacements, interval_ms: int, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._replacements = replacements
        self._interval_ms = interval_ms
        self._clock = clock
        self._after_id = ""
        self._missing: dict[str, int] = {}  # what the schedule does not know, and since when

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_ms / 1_000)
            try:
                await self.reconcile_page()
            except Exception:
                log.exception("reconciling failed")

    async def reconcile_page(self) -> int:
        """Compare the next page, and what was missing before; return how many messages were scheduled again."""
        now_ms = self._clock()
        page = await self._page()
        looked_at = list(dict.fromkeys([*self._missing, *page]))
        unknown = [each for batch in batches(looked_at, BATCH_MAX) for each in await self._unknown(batch)]
        self._missing = {each: self._missing.get(each, now_ms) for each in unknown}
        forgotten = [each for each, since_ms in self._missing.items() if now_ms - since_ms >= MISSING_MS]
        for each in forgotten:
            del self._missing[each]
        return await self._schedule(forgotten)

    async def _page(self) -> list[str]:
        ids = await self._ledger.open_ids(after_id=self._after_id, limit=PAGE)
        self._after_id = ids[-1] if len(ids) == PAGE else ""
        return ids

    async def _schedule(self, forgotten: Sequence[str]) -> int:
        # Read again: one that ended meanwhile is open no more.
        messages = await self._ledger.open_among(forgotten)
        for batch in batches(messages, BATCH_MAX):
            admission = await self._broker.admit(batch, worker_id="", slots=0, capped=False)
            await self._replacements.record(batch, admission.verdicts)
        if messages:
            log.warning("scheduled again", messages=len(messages))
        return len(messages)

    async def _unknown(self, ids: Sequence[str]) -> list[str]:
        known = await self._broker.knows(ids)
        return [message_id for message_id, is_known in zip(ids, known, strict=True) if not is_known]
