from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from tempogram.api.core.counted import KEPT, counted
from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.store import CacheStore
from tests.fakes import Clock
from tests.virtual_time import in_virtual_time


class Count(BaseModel):
    """An answer."""

    chats: int


class Table:
    """Rows that take a time to count."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.counted = 0

    async def count(self) -> Count:
        self.counted += 1
        await asyncio.sleep(self.takes_s)
        return Count(chats=self.counted)


def cache() -> Cache:
    return Cache(CacheStore(MemoryBackend(1 << 20), clock=Clock()), clock=Clock())


@pytest.mark.parametrize(("takes_s", "answers"), [(0.25, [1, 1, 2]), (0.24, [1, 2, 3])], ids=["slow", "quick"])
def test_a_count_that_takes_long_is_kept_and_a_quick_one_is_as_it_is_now(takes_s: float, answers: list[int]) -> None:
    async def asked() -> list[int]:
        own, table = cache(), Table(takes_s)
        return [(await counted(own, "preview", asked, table.count, Count)).chats for asked in ("a", "a", "b")]

    assert in_virtual_time(asked()) == answers


def test_what_is_asked_at_once_is_counted_once() -> None:
    async def asked() -> int:
        own, table = cache(), Table(0.1)
        await asyncio.gather(*(counted(own, "preview", "a", table.count, Count) for _ in range(50)))
        return table.counted

    assert in_virtual_time(asked()) == 1


def test_a_count_is_old_for_seconds_only() -> None:
    assert KEPT.ttl_s <= 5
