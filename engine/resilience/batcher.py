"""Batches by themselves: what comes while one is on its way goes with the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Whoever puts something in waits for nothing, and what comes alone goes alone, at once.

    Args:
        send: Gets the oldest items, in order; raises nothing.
        batch_max: Items in one batch.
        waiting_max: Items that may wait while one batch is on its way.
    """

    def __init__(self, send: Callable[[Sequence[Item]], Awaitable[None]], *, batch_max: int, waiting_max: int) -> None:
        self._send = send
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[Item] = deque()
        self._sending: asyncio.Task[None] | None = None

    def put(self, item: Item) -> bool:
        """Send an item soon; False, and nothing is done, if too many wait."""
        if len(self._waiting) >= self._waiting_max:
            return False
        self._waiting.append(item)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._empty())
        return True

    async def emptied(self) -> None:
        """Wait until everything that was put in has been sent, or failed to be."""
        if self._sending is not None:
            await asyncio.shield(self._sending)

    async def _empty(self) -> None:
        while self._waiting:
            await self._send([self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))])
