"""What every limiter of calls promises to its callers; each backend is a subclass with one fixture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.limiter import CallLimiter
from tests.engine.services.queue_contract import call, limiter


class KeptInAList:
    """See ``CallUses``; it can be away."""

    def __init__(self) -> None:
        self.uses: list[tuple[str, int, int]] = []
        self.is_away = False

    async def add(self, uses: Sequence[tuple[str, int, int]]) -> None:
        if self.is_away:
            raise LedgerError("the database is away")
        self.uses += uses

    async def since(self, limiter: str, at_ms: int) -> Sequence[tuple[int, int]]:
        return [(at, units) for name, at, units in self.uses if name == limiter and at >= at_ms]


class StrictService:
    """Notes when it counts each call: at its arrival, some milliseconds after it began."""

    def __init__(self, limiters: Sequence[CallLimiter], of: Limiter) -> None:
        self._limiters = limiters
        self._of = of
        self.counted_ms: list[int] = []
        self.running = self.most_running = 0

    async def call(self, number: int) -> None:
        limiter, one = self._limiters[number % len(self._limiters)], call("", self._of)
        await limiter.begin(one)
        try:
            await asyncio.sleep(0.001 * (number % 3))
            self.counted_ms.append(time.monotonic_ns() // 1_000_000)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await asyncio.sleep(0.003)
            self.running -= 1
        finally:
            limiter.end(one)

    def most_within(self, window_ms: int) -> int:
        """Return how many it counted in the fullest window."""
        counted = sorted(self.counted_ms)
        return max(sum(first <= each < first + window_ms for each in counted) for first in counted)


async def taken(limiters: Sequence[CallLimiter], of: Limiter) -> Call:
    one = call("", of)
    await limiters[0].begin(one)
    return one


class CallLimiterContract:
    async def test_no_window_at_the_service_holds_more_than_the_limit(self, limiters: Sequence[CallLimiter]) -> None:
        service = StrictService(limiters, limiter(count=10, window_ms=250, concurrency=4))

        await asyncio.gather(*(service.call(number) for number in range(45)))

        assert service.most_within(250) <= 10
        assert service.most_running <= 4

    async def test_a_call_that_waits_goes_by_a_newer_limit_at_once(self, limiters: Sequence[CallLimiter]) -> None:
        one = limiter(concurrency=1)
        first = await taken(limiters, one)
        waiting = asyncio.create_task(taken(limiters, one))
        await asyncio.sleep(0.05)

        limiters[-1].change(Limiter(one.name, CallLimit(concurrency=2), version=2))

        for each in (first, await asyncio.wait_for(waiting, 30)):
            limiters[0].end(each)

    async def test_a_caller_that_is_cancelled_leaves_its_place_to_the_next(
        self, limiters: Sequence[CallLimiter]
    ) -> None:
        one = limiter(concurrency=1)
        first = await taken(limiters, one)
        waiting = asyncio.create_task(taken(limiters, one))
        await asyncio.sleep(0.02)

        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        limiters[0].end(first)

        await asyncio.wait_for(taken(limiters[-1:], one), 30)

    async def test_calls_of_a_long_window_are_in_the_database_before_they_begin(
        self, limiters: Sequence[CallLimiter], kept: KeptInAList
    ) -> None:
        await taken(limiters, limiter("mentions", count=10, window_ms=900_000))

        assert [(name, units) for name, _, units in kept.uses] == [("mentions", 1)]

    async def test_a_call_of_a_long_window_waits_while_the_database_is_away(
        self, limiters: Sequence[CallLimiter], kept: KeptInAList
    ) -> None:
        kept.is_away = True
        waiting = asyncio.create_task(taken(limiters, limiter("mentions", count=10, window_ms=900_000)))
        await asyncio.sleep(0.1)
        assert not waiting.done()

        kept.is_away = False

        await asyncio.wait_for(waiting, 30)
