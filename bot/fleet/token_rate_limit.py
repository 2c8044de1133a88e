"""Limits how many new tokens Telegram sees from this address in a while."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import sha256

from tempogram.engine.ports import Clock
from tempogram.engine.resilience.retry import Sleep

NEW_TOKENS = ((20, 60_000), (600, 3_600_000))
"""Tokens per milliseconds. Observed in production; Telegram does not document it."""

KNOWN_MAX = 20_000
"""Tokens that are remembered, the oldest forgotten first: some 2 MB. untuned: one that was forgotten needs one more
slot, if it is not stored by then."""


class TokenRateLimit:
    """Gives each token a slot for its first call; later calls of the same token need none.

    It keeps hashes only, and not without end: any client of the Bot API door can bring tokens.

    Args:
        windows: Empty for no limit: only Telegram itself counts new tokens.
    """

    def __init__(
        self, *, clock: Clock, windows: Sequence[tuple[int, int]] = NEW_TOKENS, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._windows = windows
        self._sleep = sleep
        self._slots_ms: deque[int] = deque(maxlen=max((count for count, _ in windows), default=0))
        self._known: dict[bytes, None] = {}

    async def wait_for_slot(self, token: str, *, within_s: float | None = None) -> bool:
        """Wait for the token's slot; return False at once if it is not within ``within_s``."""
        digest = sha256(token.encode()).digest()
        if not self._windows or digest in self._known:
            return True
        now_ms = self._clock()
        slot_ms = self._next_ms(now_ms)
        if within_s is not None and slot_ms - now_ms > within_s * 1_000:
            return False
        self._slots_ms.append(slot_ms)
        self._remember(digest)
        if slot_ms > now_ms:
            await self._sleep((slot_ms - now_ms) / 1_000)
        return True

    def _remember(self, digest: bytes) -> None:
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[digest] = None

    def _next_ms(self, now_ms: int) -> int:
        full = [
            self._slots_ms[-count] + window_ms for count, window_ms in self._windows if len(self._slots_ms) >= count
        ]
        return max([now_ms, *full])
