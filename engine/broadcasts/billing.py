"""What Telegram billed for a paid broadcast, beside what our own purse counted for it.

Telegram does not say for which messages it bills. So both numbers are of all that the bot paid for from the start of
the broadcast until ``LAG_MS`` after its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from tempogram.engine.model.broadcasts import Broadcast, Stars
from tempogram.engine.model.clock import Clock
from tempogram.engine.ports.broadcast_store import BroadcastStore

LAG_MS = 60_000
"""So long after its end a broadcast may be billed. untuned: Telegram does not say how late it bills."""

FINAL_MS = 3_600_000
"""What Telegram answers so long after the end stays."""

ASK_EVERY_MS = 60_000

Billed = Callable[[int, int, int], Awaitable[int | None]]
"""Returns how many billionths of a Star a bot was billed from one time to another; None: it is not known."""


class Billing:
    """Asks Telegram when a broadcast is looked at, until the answer is final.

    However many look, in whatever processes: at most once a minute until an hour after the end, then once an hour.
    """

    def __init__(self, store: BroadcastStore, *, billed: Billed, clock: Clock) -> None:
        self._store = store
        self._billed = billed
        self._clock = clock

    async def of(self, broadcast: Broadcast) -> Broadcast:
        """Return a broadcast with its Stars; one that was not paid for, or has not ended, as it is.

        Raises:
            LedgerError: The database refuses.

        Cost: O(paid calls of the bot meanwhile), if Telegram is asked.
        """
        if broadcast.ended_at_ms is None or broadcast.started_at_ms is None or not self._is_due(broadcast):
            return broadcast
        since_ms, until_ms = broadcast.started_at_ms, broadcast.ended_at_ms + LAG_MS
        places = await self._store.paid_places(broadcast.bot_id, since_ms=since_ms, until_ms=until_ms)
        before = broadcast.stars
        if before is not None:
            places = max(places, before.purse_places)  # calls may have been deleted since
        asked = Stars(
            purse_places=places,
            nanostars_billed=None if before is None else before.nanostars_billed,
            asked_at_ms=self._clock(),
        )
        if not await self._store.note_stars(broadcast.id, asked, over=before):
            return await self._store.get(broadcast.id) or broadcast  # Telegram is being asked already
        billed = await self._billed(broadcast.bot_id, since_ms, until_ms)
        if billed is None:
            return replace(broadcast, stars=asked)
        known = replace(asked, nanostars_billed=billed)
        await self._store.note_stars(broadcast.id, known, over=asked)
        return replace(broadcast, stars=known)

    def _is_due(self, broadcast: Broadcast) -> bool:
        known = broadcast.stars
        if not broadcast.is_paid or known is None:
            return broadcast.is_paid
        final_at_ms = (broadcast.ended_at_ms or 0) + FINAL_MS
        is_final = known.nanostars_billed is not None and known.asked_at_ms >= final_at_ms
        pause_ms = ASK_EVERY_MS if known.asked_at_ms < final_at_ms else FINAL_MS
        return not is_final and self._clock() >= known.asked_at_ms + pause_ms
