"""Counts over many rows that are asked for often, such as by every open page: counted once for all that ask at once.

What a counter has needs none of this. Only what took long is kept, so what is small is always as it is now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TypeVar

from pydantic import BaseModel

from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.options import CacheOptions

KEPT = CacheOptions(ttl_s=5.0, slower_than_s=0.25)

M = TypeVar("M", bound=BaseModel)


async def counted(cache: Cache, what: str, asked: str, count: Callable[[], Awaitable[M]], model: type[M]) -> M:
    """Return an answer that is at most 5 s old.

    Args:
        cache: Of all processes, if they share one.
        what: Names the question: a metric's label.
        asked: Everything that the answer depends on.
        count: Answers it.
        model: Of the answer.
    """

    async def dumped() -> object:
        return (await count()).model_dump(mode="json")

    key = sha256(asked.encode()).hexdigest()
    return model.model_validate(await cache.get_or_set(EntryName(what, key), dumped, KEPT))
