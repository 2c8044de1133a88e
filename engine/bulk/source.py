"""Reads items one by one, of whatever can be iterated."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import Generic, TypeVar

from tempogram.engine.model.errors import SettingsError

T = TypeVar("T")

Items = Iterable[T] | AsyncIterable[T]


class Source(AsyncIterator[T], Generic[T]):
    """The items in their order; none is read before it is asked for.

    Raises:
        SettingsError: The items are one text, of which each letter would be an item.
    """

    def __init__(self, items: Items[T]) -> None:
        if isinstance(items, (str, bytes)):
            raise SettingsError("the items are one text; give a list of texts")
        self._later: AsyncIterator[T] | None = None
        self._now: Iterator[T] = iter(())
        if isinstance(items, AsyncIterable):
            self._later = aiter(items)
        else:
            self._now = iter(items)

    async def __anext__(self) -> T:
        if self._later is not None:
            return await anext(self._later)
        for item in self._now:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close a generator; a file or a list that was given stays as it is."""
        if isinstance(self._now, Generator):
            self._now.close()
        close = getattr(self._later, "aclose", None)
        if close is not None:
            await close()
