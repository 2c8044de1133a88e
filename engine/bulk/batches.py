"""Lists of items, with a pause between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sized
from typing import Generic, TypeVar

from tempogram.engine.bulk.source import Items, Source
from tempogram.engine.model.errors import SettingsError

T = TypeVar("T")

SIZE = 10
PAUSE_MS = 100


def batches(items: Items[T], size: int = SIZE, pause_ms: float = PAUSE_MS) -> Batches[T]:
    """Return lists of items, for ``async for``.

    From the end of one batch's body to the next batch at least ``pause_ms`` pass; reading the items of the next one
    counts. Before the first batch and after the last there is no pause. As the items of ``map_limited`` the pause is
    from one batch's beginning to the next one's; with ``concurrency=1`` from its end.

    Args:
        items: Anything that can be iterated; read a batch at a time.
        size: Of each batch but perhaps the last.
        pause_ms: Between two of them.

    Raises:
        SettingsError: The size or the pause makes no sense.
    """
    if size < 1 or pause_ms < 0:
        raise SettingsError(
            f"size is {size} and pause_ms {pause_ms:g}; the one must be above 0, the other not below it"
        )
    return Batches(items, size, pause_ms / 1_000)


class Batches(AsyncIterator[list[T]], Generic[T]):
    """See ``batches``.

    Attributes:
        total: How many there will be; None: the source does not say.
        pauses: False: what was done before is skipped without a pause.
    """

    def __init__(self, items: Items[T], size: int, pause_s: float) -> None:
        self.total = -(-len(items) // size) if isinstance(items, Sized) else None
        self.pauses = True
        self._source = Source(items)
        self._size = size
        self._pause_s = pause_s
        self._is_first = True

    async def __anext__(self) -> list[T]:
        loop = asyncio.get_running_loop()
        not_before_s = loop.time() + self._pause_s
        batch = await self._read()
        if not batch:
            raise StopAsyncIteration
        if self.pauses and not self._is_first:
            await asyncio.sleep(max(0.0, not_before_s - loop.time()))
        self._is_first = False
        return batch

    async def _read(self) -> list[T]:
        batch: list[T] = []
        while len(batch) < self._size:
            try:
                batch.append(await anext(self._source))
            except StopAsyncIteration:
                break
        return batch

    async def aclose(self) -> None:
        await self._source.aclose()
