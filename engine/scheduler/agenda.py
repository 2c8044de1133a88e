"""When each task is to be looked at: a heap of times, and a sleep until the first of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from heapq import heappop, heappush

from tempogram.engine.model.clock import Clock
from tempogram.engine.scheduler.decisions import wakes_at_ms
from tempogram.engine.scheduler.entry import Entry

LOOK_MS = 1_000
"""The longest sleep: that the time of all has moved is noticed after it."""


class Agenda:
    """See the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, str, Entry]] = []  # names stand between: entries have no order
        self._woken = asyncio.Event()

    def plan(self, entry: Entry) -> None:
        """Look at a task when its row says."""
        if (at_ms := wakes_at_ms(entry.task, entry.row)) is not None:
            self.wake(entry, at_ms)

    def wake(self, entry: Entry, at_ms: int) -> None:
        """Look at a task at a time, unless it is looked at before."""
        if not entry.wakes_ms or at_ms < entry.wakes_ms:
            entry.wakes_ms = at_ms
            heappush(self._heap, (at_ms, entry.task.name, entry))
            if self._heap[0][0] == at_ms:
                self._woken.set()

    def due(self) -> Iterator[Entry]:
        """Take out the tasks whose time has come, one by one."""
        now_ms = self._clock()
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, _, entry = heappop(self._heap)
            if entry.wakes_ms == at_ms:
                entry.wakes_ms = 0
                yield entry

    async def wait(self) -> None:
        """Sleep until the first time has come, or an earlier one is known, ``LOOK_MS`` at most."""
        self._woken.clear()
        sleep_ms = min(LOOK_MS, self._heap[0][0] - self._clock()) if self._heap else LOOK_MS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(sleep_ms / 1_000):
                await self._woken.wait()
