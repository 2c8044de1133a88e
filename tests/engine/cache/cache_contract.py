"""What every cache does, whichever backend it has; ``caches`` are those of as many processes as share it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tempogram.engine.cache.cache import FAILED_MS, Cache
from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.observability.cache_metrics import Got
from tests.fakes import Clock

TEA = EntryName("shop:price", "tea")
PLAIN = CacheOptions(ttl_s=60)


class NoSuchItem(Exception):
    """The shop has none of this name."""


@dataclass
class Film:
    """A type of a user's."""

    title: str
    year: int


class Shop:
    """Says a price, another one each time; it can be made to wait, and to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.answers: list[Any] = []

    async def price(self) -> Any:
        self.asked += 1
        number = self.asked
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.answers.pop(0) if self.answers else {"price": number}


class CacheContract:
    """Tests of one cache, or of several that share what they keep."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def shop(self) -> Shop:
        return Shop()

    @pytest.fixture
    def cache(self, caches: Sequence[Cache]) -> Cache:
        return caches[0]

    async def test_an_answer_is_computed_once_while_it_is_fresh(self, caches: Sequence[Cache], shop: Shop) -> None:
        answers = [await cache.get_or_set(TEA, shop.price, PLAIN) for cache in (*caches, *caches)]

        assert answers == [{"price": 1}] * len(answers)
        assert shop.asked == 1

    async def test_an_answer_is_computed_anew_after_its_time(self, cache: Cache, shop: Shop, clock: Clock) -> None:
        await cache.get_or_set(TEA, shop.price, PLAIN)
        clock.advance(59_999)
        assert await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 1}

        clock.advance(1)

        assert await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 2}

    async def test_a_thousand_callers_at_once_have_one_computation(self, caches: Sequence[Cache], shop: Shop) -> None:
        shop.open.clear()
        callers = [
            asyncio.create_task(caches[n % len(caches)].get_or_set(TEA, shop.price, PLAIN)) for n in range(1_000)
        ]
        await asyncio.sleep(0.05)
        shop.open.set()

        answers = await asyncio.gather(*callers)

        assert shop.asked == 1
        assert answers == [{"price": 1}] * 1_000

    async def test_a_caller_that_changes_its_answer_changes_it_for_no_other(self, cache: Cache, shop: Shop) -> None:
        first, second = await asyncio.gather(*(cache.get_or_set(TEA, shop.price, PLAIN) for _ in range(2)))

        first["price"] = 0

        assert second == await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 1}

    async def test_a_caller_that_gives_up_leaves_the_others_theirs(self, cache: Cache, shop: Shop) -> None:
        shop.open.clear()
        first, second = (asyncio.create_task(cache.get_or_set(TEA, shop.price, PLAIN)) for _ in range(2))
        await asyncio.sleep(0.02)

        first.cancel()
        shop.open.set()

        assert await second == {"price": 1}
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_what_the_last_caller_gave_up_is_computed_for_the_next(
        self, caches: Sequence[Cache], shop: Shop
    ) -> None:
        shop.open.clear()
        only = asyncio.create_task(caches[0].get_or_set(TEA, shop.price, PLAIN))
        await asyncio.sleep(0.02)
        only.cancel()
        await asyncio.wait([only])
        shop.open.set()

        assert await asyncio.wait_for(caches[-1].get_or_set(TEA, shop.price, PLAIN), 1.4) == {"price": 2}

    async def test_an_error_reaches_all_that_wait_and_is_not_kept(self, cache: Cache, shop: Shop) -> None:
        shop.error = OSError("closed")
        shop.open.clear()
        waiting = [asyncio.create_task(cache.get_or_set(TEA, shop.price, PLAIN)) for _ in range(3)]
        await asyncio.sleep(0.02)
        shop.open.set()

        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [OSError] * 3
        shop.error = None
        assert await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 2}

    async def test_soon_before_its_end_an_answer_is_computed_anew_behind_its_callers(
        self, cache: Cache, shop: Shop, clock: Clock
    ) -> None:
        options = CacheOptions(ttl_s=60, early_s=10)
        await cache.get_or_set(TEA, shop.price, options)
        clock.advance(50_000)
        shop.open.clear()  # so that a caller that waited would not come back

        during = [await cache.get_or_set(TEA, shop.price, options) for _ in range(3)]
        shop.open.set()
        await _settled(cache)

        assert during == [{"price": 1}] * 3
        assert await cache.get_or_set(TEA, shop.price, options) == {"price": 2}
        assert shop.asked == 2

    async def test_a_stale_answer_is_returned_at_once_and_computed_anew_once(
        self, caches: Sequence[Cache], shop: Shop, clock: Clock
    ) -> None:
        options = CacheOptions(ttl_s=60, stale_s=600)
        await caches[0].get_or_set(TEA, shop.price, options)
        clock.advance(300_000)
        shop.open.clear()

        during = [await cache.get_or_set(TEA, shop.price, options) for cache in (*caches, *caches)]
        shop.open.set()
        for cache in caches:
            await _settled(cache)

        assert during == [{"price": 1}] * len(during)
        assert shop.asked == 2
        assert await caches[-1].get_or_set(TEA, shop.price, options) == {"price": 2}

    async def test_a_stale_answer_is_served_while_the_service_is_away(
        self, cache: Cache, shop: Shop, clock: Clock
    ) -> None:
        options = CacheOptions(ttl_s=60, stale_if_error_s=600)
        await cache.get_or_set(TEA, shop.price, options)
        shop.error = OSError("closed")
        clock.advance(659_999)
        assert await cache.get_or_set(TEA, shop.price, options) == {"price": 1}

        clock.advance(1)

        with pytest.raises(OSError, match="closed"):
            await cache.get_or_set(TEA, shop.price, options)

    async def test_a_service_that_is_away_is_asked_once_a_second(self, cache: Cache, shop: Shop, clock: Clock) -> None:
        options = CacheOptions(ttl_s=60, stale_s=600, stale_if_error_s=3_600)
        await cache.get_or_set(TEA, shop.price, options)
        shop.error = OSError("closed")
        asked = []
        for after_ms in (120_000, 0, FAILED_MS, 3_000_000, 0, FAILED_MS):
            clock.advance(after_ms)
            assert await cache.get_or_set(TEA, shop.price, options) == {"price": 1}
            await _settled(cache)
            asked.append(shop.asked)

        assert asked == [2, 2, 3, 4, 4, 5]

    async def test_that_there_is_none_is_kept_for_a_time_of_its_own(
        self, cache: Cache, shop: Shop, clock: Clock
    ) -> None:
        shop.answers = [None]
        options = CacheOptions(ttl_s=60, negative_ttl_s=5, stale_s=600)
        assert await cache.get_or_set(TEA, shop.price, options) is None
        clock.advance(4_999)
        assert await cache.get_or_set(TEA, shop.price, options) is None

        clock.advance(1)

        assert await cache.get_or_set(TEA, shop.price, options) == {"price": 2}

    async def test_an_error_that_is_an_answer_is_kept_and_raised_again(
        self, caches: Sequence[Cache], shop: Shop
    ) -> None:
        shop.error = NoSuchItem("tea", 404)
        options = CacheOptions(ttl_s=60, negative_ttl_s=5, errors=(NoSuchItem,))
        for cache in (*caches, *caches):
            with pytest.raises(NoSuchItem) as raised:
                await cache.get_or_set(TEA, shop.price, options)
            assert raised.value.args == ("tea", 404)

        assert shop.asked == 1

    async def test_an_answer_is_of_the_type_that_its_caller_names(self, cache: Cache) -> None:
        async def film() -> Film:
            await asyncio.sleep(0)
            return Film("Metropolis", 1927)

        options = CacheOptions(ttl_s=60, type=Film)
        assert [await cache.get_or_set(TEA, film, options) for _ in range(2)] == [Film("Metropolis", 1927)] * 2
        assert await cache.get_or_set(TEA, film, PLAIN) == {"title": "Metropolis", "year": 1927}

    async def test_an_entry_that_another_version_kept_is_a_miss(self, cache: Cache, shop: Shop) -> None:
        await cache.get_or_set(TEA, shop.price, PLAIN)
        shop.answers = [{"title": "Metropolis", "year": 1927}]

        answer = await cache.get_or_set(TEA, shop.price, CacheOptions(ttl_s=60, type=Film))

        assert answer == Film("Metropolis", 1927)

    async def test_what_has_no_json_is_returned_and_not_kept(self, cache: Cache, shop: Shop) -> None:
        connection = object()
        shop.answers = [connection, connection]

        assert [await cache.get_or_set(TEA, shop.price, PLAIN) for _ in range(2)] == [connection, connection]

    async def test_what_is_too_large_is_returned_and_not_kept(self, cache: Cache, shop: Shop) -> None:
        shop.answers = ["x" * (1 << 20)] * 2

        assert [len(await cache.get_or_set(TEA, shop.price, PLAIN)) for _ in range(2)] == [1 << 20] * 2
        assert shop.asked == 2

    async def test_answers_are_forgotten_by_key_by_tag_and_by_group(self, caches: Sequence[Cache], shop: Shop) -> None:
        options = CacheOptions(ttl_s=60, tags=("anna",))
        forgetting: list[dict[str, Any]] = [{"names": [TEA]}, {"tags": ["anna"]}, {"groups": ["shop:price"]}]
        for number, what in enumerate(forgetting, 1):
            assert await caches[0].get_or_set(TEA, shop.price, options) == {"price": number}

            await caches[-1].forget(**what)

        assert await caches[0].get_or_set(TEA, shop.price, options) == {"price": 4}

    async def test_what_is_forgotten_while_it_is_computed_is_not_kept(self, cache: Cache, shop: Shop) -> None:
        shop.open.clear()
        options = CacheOptions(ttl_s=60, tags=("anna",))
        computing = asyncio.create_task(cache.get_or_set(TEA, shop.price, options))
        await asyncio.sleep(0.02)
        await cache.forget(tags=["anna"])
        shop.open.set()

        assert await computing == {"price": 1}
        assert await cache.get_or_set(TEA, shop.price, options) == {"price": 2}

    async def test_a_tag_leaves_what_has_another_one(self, cache: Cache, shop: Shop) -> None:
        await cache.get_or_set(TEA, shop.price, CacheOptions(ttl_s=60, tags=("anna",)))

        await cache.forget([EntryName("shop:price", "milk")], tags=["boris"], groups=["shop:stock"])

        assert await cache.get_or_set(TEA, shop.price, CacheOptions(ttl_s=60, tags=("anna",))) == {"price": 1}

    async def test_a_clock_that_was_set_back_makes_no_answer_live_longer(
        self, cache: Cache, shop: Shop, clock: Clock
    ) -> None:
        await cache.get_or_set(TEA, shop.price, PLAIN)

        clock.advance(-3_600_000)

        assert await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 2}

    async def test_where_answers_came_from_is_counted(self, cache: Cache, shop: Shop, clock: Clock) -> None:
        options = CacheOptions(ttl_s=60, stale_s=60)
        await asyncio.gather(*(cache.get_or_set(TEA, shop.price, options) for _ in range(3)))
        await cache.get_or_set(TEA, shop.price, options)
        clock.advance(60_000)
        await cache.get_or_set(TEA, shop.price, options)

        counted = {outcome: count for (_, outcome), count in cache._metrics.gets.items()}
        assert counted == {Got.MISS: 1, Got.SHARED: 2, Got.HIT: 1, Got.STALE: 1}


async def _settled(cache: Cache) -> None:
    """Wait until nothing is computed any more."""
    async with asyncio.timeout(5):
        while len(cache._computing):  # noqa: ASYNC110 - no event is set for a test alone
            await asyncio.sleep(0.005)
