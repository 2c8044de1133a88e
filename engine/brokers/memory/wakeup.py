"""How the workers of one process sleep until there is something to do."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """Wakes every worker that waits. A ring while none waits ends the next wait at once."""

    def __init__(self) -> None:
        self._sleepers: set[asyncio.Future[None]] = set()
        self._has_rung = False
        self._promised_ms: int | None = None

    def answer(self, wake_at_ms: int | None) -> None:
        """Note until when the worker that has just leased will sleep."""
        self._has_rung = False
        self._promised_ms = wake_at_ms

    def ring(self) -> None:
        self._has_rung = True
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def ring_if_sooner(self, wake_at_ms: int | None) -> None:
        """Ring if something can go earlier than the time until which workers sleep."""
        if wake_at_ms is not None and (self._promised_ms is None or wake_at_ms < self._promised_ms):
            self.ring()

    async def wait(self, timeout_ms: int | None) -> None:
        """Return when it rings, or after a time; at once if it rang since the last ``answer``."""
        if self._has_rung:
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if timeout_ms is None else max(0, timeout_ms) / 1_000):
                    await sleeper
        finally:
            self._sleepers.discard(sleeper)
