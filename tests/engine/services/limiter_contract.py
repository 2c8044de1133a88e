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
from tempogram.engine.services.state import time_of
from tests.engine.services.queue_contract import HIGH, call, limiter


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
            try:
                await asyncio.sleep(0.003)
            finally:
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

    async def test_a_limiter_shows_what_is_used_of_it_and_who_waits(self, limiters: Sequence[CallLimiter]) -> None:
        sms = limiter("twilio:sms", count=2, window_ms=3_000, concurrency=1)
        await taken(limiters, sms)
        waiting = asyncio.create_task(taken(limiters, sms))
        await asyncio.sleep(0.05)

        (state,) = await limiters[-1].states([sms])
        waiting.cancel()

        assert (state.name, state.limit) == (sms.name, sms.limit)
        assert (state.under_way, state.waiting, state.left, state.free_at_ms) == (1, 1, 1, None)
        assert state.hold == ""

    async def test_a_limiter_that_was_never_used_shows_that_all_of_it_is_left(
        self, limiters: Sequence[CallLimiter]
    ) -> None:
        (state,) = await limiters[-1].states([limiter("twilio:voice", count=7, window_ms=900_000)])

        assert (state.under_way, state.waiting, state.left) == (0, 0, 7)

    async def test_a_hold_shows_until_when_and_who_said_so(self, limiters: Sequence[CallLimiter]) -> None:
        until_ms = int(time.time() * 1_000) + 90_000
        limiters[0].hold(limiter("twilio:sms"), until_ms, "said by the service")
        await asyncio.sleep(0.05)

        (state,) = await limiters[-1].states([limiter("twilio:sms")])

        assert state.held_until_ms == until_ms
        assert state.hold == f"until {time_of(until_ms)}, said by the service"

    async def test_what_a_service_says_is_left_is_shown(self, limiters: Sequence[CallLimiter]) -> None:
        limiters[0].believe(limiter("twilio:sms"), left=3, until_ms=int(time.time() * 1_000) + 90_000, of=None)
        await asyncio.sleep(0.05)

        (state,) = await limiters[-1].states([limiter("twilio:sms")])

        assert state.left == 3

    async def test_calls_of_a_service_are_shown_in_their_order_with_the_reason_why_they_wait(
        self, limiters: Sequence[CallLimiter]
    ) -> None:
        sms, shared = limiter("twilio:sms"), limiter("twilio", concurrency=1)
        other = limiter("shop:pay", concurrency=1)
        for each in (shared, other):
            await taken(limiters, each)
        calls = [call("", shared, sms), call("", shared, sms, priority=HIGH), call("", other)]
        tasks = [asyncio.create_task(limiters[0].begin(each)) for each in calls]
        await asyncio.sleep(0.05)

        first, second = await limiters[-1].line("twilio", 100)
        (only_first,) = await limiters[-1].line("twilio", 1)
        explained = await limiters[-1].explain(second.call_id)
        for task in tasks:
            task.cancel()

        assert (first.operation, first.priority, first.ahead, first.stands_at) == ("twilio:sms", HIGH, 0, "twilio")
        assert first.reason == "the only place of twilio is taken"
        assert second.reason == "the only place of twilio is taken, and 1 call stands before it"
        assert only_first.call_id == first.call_id
        assert explained is not None
        assert (explained.call_id, explained.ahead) == (calls[0].call_id, 1)

    async def test_a_call_that_is_under_way_or_unknown_does_not_wait(self, limiters: Sequence[CallLimiter]) -> None:
        under_way = await taken(limiters, limiter("shop:pay", concurrency=1))

        assert await limiters[-1].explain(under_way.call_id or "x") is None
        assert await limiters[-1].explain("no such call") is None

    async def test_a_call_that_is_held_begins_at_once_when_the_hold_is_released(
        self, limiters: Sequence[CallLimiter]
    ) -> None:
        sms = limiter("twilio:sms")
        limiters[0].hold(sms, int(time.time() * 1_000) + 90_000, "by hand")
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(taken(limiters[-1:], sms))
        await asyncio.sleep(0.05)
        assert not waiting.done()

        limiters[0].hold(sms, 0, "")

        await asyncio.wait_for(waiting, 30)
