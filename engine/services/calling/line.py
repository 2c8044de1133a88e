"""Lets so many calls of one process stand in line; the others are refused, or wait for room."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush


class Line:
    """Those that wait for room enter by their priority, then as they came; ``leave`` must follow ``enter``."""

    __slots__ = ("_arrivals", "_outside", "inside", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0
        self._arrivals = 0
        self._outside: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap; some were cancelled

    @property
    def is_full(self) -> bool:
        return self.inside >= self.most

    async def enter(self, priority: int) -> None:
        """Enter when there is room. Cancelling gives up."""
        if not self.is_full:
            self.inside += 1
            return
        room = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heappush(self._outside, (priority, self._arrivals, room))
        try:
            await room
        except asyncio.CancelledError:
            if room.done() and not room.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        self.inside -= 1
        while self._outside and not self.is_full:
            _, _, room = heappop(self._outside)
            if not room.done():
                room.set_result(None)
                self.inside += 1
