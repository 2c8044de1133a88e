"""The time that all processes on a database share, as one of them knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tempogram.engine.model.clock import Clock


class SharedClock:
    """Milliseconds since the epoch by the database, counted on between two readings by a clock that is never stepped.

    A process whose own clock is wrong, or stepped, keeps the time of the others.

    Args:
        local: Is read until the database was.
    """

    def __init__(self, local: Clock) -> None:
        self._local = local
        self._ahead_ms: int | None = None  # of the clock that is never stepped

    def __call__(self) -> int:
        return self._local() if self._ahead_ms is None else self._ahead_ms + _steady_ms()

    async def read(self, now_ms: Callable[[], Awaitable[int]]) -> None:
        """Read the database's clock: it had that time at some moment between the question and the answer."""
        asked_ms = _steady_ms()
        read_ms = await now_ms()
        least_ms, most_ms = read_ms - _steady_ms(), read_ms - asked_ms
        ahead_ms = (least_ms + most_ms) // 2 if self._ahead_ms is None else self._ahead_ms
        self._ahead_ms = min(max(ahead_ms, least_ms), most_ms)


def _steady_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1_000)
