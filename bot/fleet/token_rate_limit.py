"""Introduces tokens to Telegram no faster than it takes new ones from one address."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tempogram.engine.ports import Clock
from tempogram.engine.resilience.ledger_retry import Sleep

NEW_TOKENS = ((20, 60_000), (600, 3_600_000))
"""How many in how many milliseconds. Seen in the field; Telegram says nothing of it."""


class TokenRateLimit:
    """Gives each token a turn for its first call; one that had it needs none again.

    Args:
        windows: No limit at all without one: only Telegram itself counts.
    """

    def __init__(
        self, *, clock: Clock, windows: Sequence[tuple[int, int]] = NEW_TOKENS, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._windows = windows
        self._sleep = sleep
        self._turns_ms: deque[int] = deque(maxlen=max((count for count, _ in windows), default=0))
        self._known: set[str] = set()

    async def turn(self, token: str, *, within_s: float | None = None) -> bool:
        """Return when the token's turn has come; False, and at once, if that is not within this time."""
        if token in self._known:
            return True
        now_ms = self._clock()
        turn_ms = self._next_ms(now_ms)
        if within_s is not None and turn_ms - now_ms > within_s * 1_000:
            return False
        self._turns_ms.append(turn_ms)
        self._known.add(token)
        if turn_ms > now_ms:
            await self._sleep((turn_ms - now_ms) / 1_000)
        return True

    def _next_ms(self, now_ms: int) -> int:
        full = [
            self._turns_ms[-count] + window_ms for count, window_ms in self._windows if len(self._turns_ms) >= count
        ]
        return max([now_ms, *full])
