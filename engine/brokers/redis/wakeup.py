"""How the workers of many processes sleep until there is something to do: the bell, a stream in Redis."""

from __future__ import annotations

import asyncio
import math
import time

from tempogram.engine.brokers.redis.calls import Calls
from tempogram.engine.model.clock import Clock

HEARTBEAT_S = 30.0
"""How long a sleeping worker waits before it asks again whether Redis is there.

untuned: every verb of another worker finds out sooner."""


class Wakeup:
    """Sleeps on the bell, whose last entry is newer than the last lease, or will be."""

    def __init__(self, calls: Calls, *, clock: Clock | None) -> None:
        self._calls = calls
        self._clock = clock
        self._rings = 0
        self._listening: asyncio.Task[int] | None = None
        self._leased_at = round(time.time() * 1_000), time.monotonic()
        """When the last lease was, by the clock of Redis in ms (before the first: by ours) and by ours in s."""

    def note_lease(self, rings: int, now_ms: int) -> None:
        """Note how often it had rung at the last lease, and when that was by the clock of Redis."""
        self._rings = rings
        self._leased_at = now_ms, time.monotonic()

    async def wait(self, until_ms: int | None) -> None:
        """Return at a time, or when it rings.

        The time is kept here. Redis looks only ten times a second which BLOCK has run out: a place every 33 ms
        would be found up to 100 ms late, and a third of them stay unused.
        """
        left_s = math.inf if until_ms is None else (until_ms - self._now_ms()) / 1_000
        end_s = time.monotonic() + left_s
        while (left_s := end_s - time.monotonic()) > 0:
            if await self._rings_within(left_s):
                return

    async def _rings_within(self, waits_s: float) -> bool:
        """Tell whether it rang. When the time is over, or the sleep is cut short, the task listens for the next call.

        It is never cancelled: the driver would close its connection, and the next sleep open another. It ends when
        the client of Redis is closed.
        """
        if self._listening is None:
            self._listening = asyncio.create_task(self._next_ring())
            self._listening.add_done_callback(_retrieve_error)
        done, _ = await asyncio.wait([self._listening], timeout=None if waits_s == math.inf else waits_s)
        if not done:
            return False
        heard, self._listening = self._listening, None
        return heard.result() > self._rings

    async def _next_ring(self) -> int:
        """Return the number of the first ring after those that are known now; 0 if none comes for long."""
        bell = f"{self._calls.prefix}bell"
        words = ("XREAD", "BLOCK", round(HEARTBEAT_S * 1_000), "STREAMS", bell, f"{self._rings}-0")
        heard = await self._calls.command(*words, waits_s=HEARTBEAT_S)
        if not heard:
            return 0
        ((_, entries),) = heard
        return int(entries[-1][0].partition(b"-")[0])

    def _now_ms(self) -> int:
        """Return the time that Redis has now, as far as the last lease tells."""
        if self._clock is not None:
            return self._clock()
        at_ms, at_s = self._leased_at
        return at_ms + round((time.monotonic() - at_s) * 1_000)


def _retrieve_error(listening: asyncio.Task[int]) -> None:
    """Retrieve how it ended, also if nothing waits for it any more: asyncio would complain."""
    if not listening.cancelled():
        listening.exception()
