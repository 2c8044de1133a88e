"""Compares the ledger with the queue, slowly and always: an open message that only the ledger has is admitted again.

A message can be in the ledger alone when a process failed between the two: after the ledger's commit and before the
admission, or after a cancellation that the ledger could not record. It is in the ledger alone for a moment whenever it
is submitted or replayed (the ledger has it first) or cancelled (the queue forgets it first); so a message is admitted
only if the queue has not known it at any look for ``MISSING_MS``. Settling follows the ledger's commit: what is still
open there after that was never settled, and nothing is sent twice by this.

After the queue was away the whole ledger is compared soon; after a process has died, or while others write to the
ledger alone, the recent part of it. Then a message is admitted if it is unknown at two looks some seconds apart (see
``CatchUp``).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Broker, Clock, Ledger
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import monitored
from tempogram.engine.resilience.retry import every

log = structlog.get_logger()

PAGE = 1_000
"""Ids compared at a time: a few milliseconds of work."""

RECONCILE_MS = 5_000
"""Between two pages of the slow comparison. untuned: what is urgent is found by ``CatchUp``."""

RECONCILED_MS = 10_000
"""The same after the newest message, if nothing is missing: as long as nothing happens, it is all there is to do."""

MISSING_MS = 30_000
"""A submission, a cancellation or a replay is over by then, or has failed: no write waits longer for its database.
A crash between the two steps of one costs the message this delay, unless a leader notices that the process died."""

CATCH_UP_MS = 2_000
"""The same where much is known to be missing. untuned: the two steps of one take milliseconds; a cancellation that
the database takes longer to write is undone by it."""


class Reconciler:
    """Compares one page every ``RECONCILE_MS``, and begins again at the oldest message after the newest."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        closer: Closer,
        clock: Clock,
        conditions: Conditions,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._closer = closer
        self._clock = clock
        self._conditions = conditions
        self._after_id = ""
        self._missing: dict[str, int] = {}  # what the queue does not know, and since when

    async def run(self) -> None:
        """Compare until cancelled: for a process without a leader, which would do it."""
        await every(RECONCILE_MS / 1_000, self._reconcile, failed="reconcile_failed", expected=LedgerError)

    @property
    def is_under_way(self) -> bool:
        """Whether the next page follows another, or something was missing."""
        return bool(self._after_id or self._missing)

    async def reconcile_page(self) -> int:
        """Compare the next page, and what was missing before; return how many messages were admitted again."""
        await self._note_new(await self._page())
        return await self.admit_missing(MISSING_MS)

    async def find_missing(self, *, after_id: str = "") -> None:
        """Find what is missing of all that is open, after an id if one is given."""
        while ids := await self._ledger.open_ids(after_id=after_id, limit=PAGE):
            await self._note_new(ids)
            after_id = ids[-1]

    async def admit_missing(self, missing_ms: int) -> int:
        """Admit what was found missing so long ago, and still is; return how many messages that were.

        Raises:
            BrokerUnavailable: Some were not admitted, and stay noted; ``BrokerFull`` is raised at the first page.
        """
        admitted = 0
        try:
            for page in batches(list(self._missing), PAGE):
                await self._note(page)
                admitted += await self._admit_missing_since(self._clock() - missing_ms, page)
        finally:
            if admitted:
                log.warning("missing_messages_admitted", messages=admitted)
        return admitted

    def forget(self) -> None:
        """Drop what was found missing: it was too long ago."""
        self._missing.clear()

    async def _reconcile(self) -> None:
        with monitored(self._conditions, seen_by="the reconciler"):
            await self.reconcile_page()

    async def _page(self) -> list[str]:
        ids = await self._ledger.open_ids(after_id=self._after_id, limit=PAGE)
        self._after_id = ids[-1] if len(ids) == PAGE else ""
        return ids

    async def _note_new(self, ids: Sequence[str]) -> None:
        await self._note([each for each in ids if each not in self._missing])

    async def _note(self, ids: Sequence[str]) -> None:
        """Note which of these the queue does not know, since the moment before it was asked."""
        for batch in batches(ids, BATCH_MAX):
            now_ms = self._clock()
            for message_id, is_known in zip(batch, await self._broker.knows(batch), strict=True):
                if is_known:
                    self._missing.pop(message_id, None)
                else:
                    self._missing.setdefault(message_id, now_ms)

    async def _admit_missing_since(self, since_ms: int, page: Sequence[str]) -> int:
        """Admit what of these is missing since then or longer."""
        forgotten = [each for each in page if each in self._missing and self._missing[each] <= since_ms]
        admitted = await self._admit(forgotten) if forgotten else 0
        for each in forgotten:
            del self._missing[each]
        return admitted

    async def _admit(self, forgotten: Sequence[str]) -> int:
        # Read again: one that ended meanwhile is open no more.
        messages = await self._ledger.open_among(forgotten)
        for batch in batches(messages, BATCH_MAX):
            admission = await self._broker.admit(batch, worker_id="", slots=0, capped=False)
            await self._closer.record_replaced(batch, admission.verdicts)
        return len(messages)
