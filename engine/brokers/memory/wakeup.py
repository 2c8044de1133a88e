"""How the workers of one process sleep until there is something to do."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """Wakes everybody who waits. Rung while nobody waits, it is heard by the next who would."""

    def __init__(self) -> None:
        self._sleepers: set[asyncio.Future[None]] = set()
        self._rung = False
        self._told_wake_ms: int | None = None

    def answer(self, wake_at_ms: int | None) -> None:
        """Note until when somebody who has just looked was told to sleep."""
        self._rung = False
        self._told_wake_ms = wake_at_ms

    def ring(self) -> None:
        self._rung = True
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def ring_if_sooner(self, wake_at_ms: int | None) -> None:
        """Ring if something can go earlier than whoever sleeps was told."""
        if wake_at_ms is not None and (self._told_wake_ms is None or wake_at_ms < self._told_wake_ms):
            self.ring()

    async def wait(self, timeout_ms: int | None) -> None:
        """Return when it rings, or after a time; at once if it rang since the last ``answer``."""
        if self._rung:
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if timeout_ms is None else max(0, timeout_ms) / 1_000):
                    await sleeper
        finally:
            self._sleepers.discard(sleeper)
