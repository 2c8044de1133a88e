"""Lets the calls of one process begin apart from each other, while many of them fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tempogram.engine.services.calling.line import Line


class Spaced:
    """Of those that wait, one at a time has its turn, by priority."""

    __slots__ = ("_began_s", "_line")

    def __init__(self) -> None:
        self._line = Line(1)
        self._began_s = float("-inf")

    async def turn(self, apart_ms: Callable[[], int], priority: int) -> None:
        """Wait until so much time has passed since the call before, as it is then. Cancelling gives up."""
        now_s = asyncio.get_running_loop().time
        await self._line.enter(priority)
        try:
            if (left_s := self._began_s + apart_ms() / 1_000 - now_s()) > 0:
                await asyncio.sleep(left_s)
            self._began_s = now_s()
        finally:
            self._line.leave()
