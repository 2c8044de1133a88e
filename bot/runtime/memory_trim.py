"""Gives freed memory back to the system once a backlog is gone.

glibc keeps what is freed below the last block that is still in use: after 300,000 messages of 700 bytes 228 of 230 MB
stayed, and 13 after ``malloc_trim``. (What Python itself allocates, 512 bytes and less, it returns by arenas of 1 MB.)
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable

from tempogram.engine.resilience.retry import Sleep

LOOK_EVERY_S = 5.0
"""Between two looks at how much was freed; untuned: memory that returns seconds later is not noticed."""

FREED_BLOCKS_MIN = 300_000
"""Python's memory blocks that must be freed since the last time: some 25,000 messages.

untuned: what that frees is given back in some 5 ms, in which nothing larger than 512 bytes can be allocated.
"""


def malloc_trim() -> Callable[[], object] | None:
    """Return glibc's function that gives free memory back; None if the C library has none."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return lambda: trim(0)


class MemoryTrim:
    """Looks now and then whether much was freed, and gives it back in a thread."""

    def __init__(
        self,
        *,
        trim: Callable[[], object] | None,
        blocks: Callable[[], int] = sys.getallocatedblocks,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._trim = trim
        self._blocks = blocks
        self._sleep = sleep

    async def run(self) -> None:
        """Work until cancelled."""
        most = self._blocks()
        while True:
            await self._sleep(LOOK_EVERY_S)
            now = self._blocks()
            if self._trim is not None and most - now >= FREED_BLOCKS_MIN:
                await asyncio.to_thread(self._trim)
                most = now
            most = max(most, now)
