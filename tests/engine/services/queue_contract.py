"""What every queue of calls promises, whichever process holds it; each backend is a subclass with one fixture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import pytest

from tempogram.engine.services.calls import PRIORITY_OF, Call, Charge, Limiter
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.meter import COUNTED_WITHIN_MS, QUICKEST_OF, ROUNDED_MS
from tests.fakes import Clock

HIGH, NORMAL, LOW = PRIORITY_OF["high"], PRIORITY_OF["normal"], PRIORITY_OF["low"]


class Queue(Protocol):
    """A queue as a test sees it: each method returns the ids of the calls that began by it, in any order."""

    clock: Clock

    async def ask(self, call: Call) -> list[str]: ...
    async def end(self, call: Call, used: Sequence[int] | None = None) -> list[str]: ...
    async def hold(self, limiter: Limiter, until_ms: int) -> list[str]: ...
    async def release(self, limiter: Limiter) -> list[str]: ...
    async def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None = None) -> list[str]: ...
    async def look(self) -> list[str]: ...


def limiter(name: str = "service", **words: int) -> Limiter:
    return Limiter(name, CallLimit(**words))


def call(call_id: str, *charged: Limiter | tuple[Limiter, int], priority: int = NORMAL) -> Call:
    charges = (each if isinstance(each, tuple) else (each, 1) for each in charged)
    return Call(tuple(Charge(of, cost) for of, cost in charges), priority, call_id=call_id)


async def answer_quickly(queue: Queue, apart: Limiter, answers: int = QUICKEST_OF) -> None:
    """Have calls answered after 5 ms: as many as it takes to know that answers are so quick."""
    for number in range(answers):
        quick = call(f"quick {number}", apart)
        await queue.ask(quick)
        queue.clock.advance(5)
        await queue.end(quick)
        queue.clock.advance(500)


class CallQueueContract:
    async def test_as_many_calls_begin_as_the_window_has_places(self, queue: Queue) -> None:
        two = limiter(count=2, window_ms=1_000)

        began = [await queue.ask(call(name, two)) for name in "abc"]

        assert began == [["a"], ["b"], []]

    async def test_a_place_is_free_a_window_after_the_answer(self, queue: Queue) -> None:
        one = limiter(count=1, window_ms=1_000)
        first = call("a", one)
        await queue.ask(first)
        await queue.ask(call("b", one))

        queue.clock.advance(300)
        await queue.end(first)
        queue.clock.advance(1_000)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["b"])

    async def test_a_call_without_an_answer_counts_a_second_after_it_began_at_the_latest(self, queue: Queue) -> None:
        one = limiter(count=1, window_ms=1_000)
        await queue.ask(call("slow", one))
        await queue.ask(call("b", one))

        queue.clock.advance(2_000)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["b"])

    async def test_all_limiters_of_a_call_are_taken_together_or_none(self, queue: Queue) -> None:
        wide, narrow = limiter("wide", concurrency=2), limiter("narrow", concurrency=1)
        both = call("a", wide, narrow)
        await queue.ask(both)
        await queue.ask(call("b", wide, narrow))

        third = await queue.ask(call("c", wide))

        assert third == ["c"], "the call that waits for the narrow one holds no place of the wide one"

    async def test_what_waits_for_one_limiter_holds_up_nothing_that_does_not_pass_it(self, queue: Queue) -> None:
        service, sms = limiter("service", concurrency=10), limiter("sms", count=1, window_ms=60_000)
        for number in range(5):
            await queue.ask(call(f"sms{number}", service, sms))

        assert await queue.ask(call("voice", service)) == ["voice"]

    async def test_calls_begin_by_priority_and_then_by_arrival(self, queue: Queue) -> None:
        one = limiter(concurrency=1)
        running = call("first", one)
        await queue.ask(running)
        waiting = {
            name: call(name, one, priority=priority)
            for name, priority in (("low", LOW), ("b", NORMAL), ("a", NORMAL), ("high", HIGH))
        }
        for each in waiting.values():
            await queue.ask(each)

        order = []
        while began := await queue.end(running):
            order += began
            running = waiting[began[0]]

        assert order == ["high", "b", "a", "low"]

    async def test_a_light_call_does_not_overtake_a_heavy_one_that_waits_for_the_same(self, queue: Queue) -> None:
        tokens = limiter(count=100, window_ms=1_000)
        await queue.ask(call("a", (tokens, 60)))
        await queue.ask(call("heavy", (tokens, 50)))

        assert await queue.ask(call("light", (tokens, 10))) == []

    async def test_a_heavy_call_that_is_taken_back_lets_the_light_one_behind_it_begin(self, queue: Queue) -> None:
        tokens = limiter(count=100, window_ms=1_000)
        heavy = call("heavy", (tokens, 50))
        await queue.ask(call("a", (tokens, 60)))
        await queue.ask(heavy)
        await queue.ask(call("light", (tokens, 10)))

        assert await queue.end(heavy) == ["light"]

    async def test_a_call_that_costs_more_than_the_limit_begins_when_nothing_is_used(self, queue: Queue) -> None:
        tokens = limiter(count=100, window_ms=1_000)

        assert await queue.ask(call("huge", (tokens, 250))) == ["huge"]
        assert await queue.ask(call("next", (tokens, 1))) == []

    async def test_an_answer_gives_back_what_a_call_did_not_cost(self, queue: Queue) -> None:
        tokens = limiter(count=100, window_ms=1_000)
        estimated = call("estimated", (tokens, 90))
        await queue.ask(estimated)
        await queue.ask(call("b", (tokens, 50)))

        assert await queue.end(estimated, [20]) == ["b"]

    async def test_what_a_call_cost_beyond_its_estimate_counts_from_its_answer(self, queue: Queue) -> None:
        tokens = limiter(count=100, window_ms=10_000)
        estimated = call("estimated", (tokens, 10))
        await queue.ask(estimated)

        queue.clock.advance(500)
        await queue.end(estimated, [100])

        assert await queue.ask(call("b", (tokens, 10))) == []

    async def test_a_call_that_was_never_made_uses_nothing(self, queue: Queue) -> None:
        one = limiter(count=1, window_ms=60_000)
        unmade = call("a", one)
        await queue.ask(unmade)
        await queue.ask(call("b", one))

        assert await queue.end(unmade, [0]) == ["b"]

    async def test_the_first_calls_begin_apart_from_the_answer(self, queue: Queue) -> None:
        apart = limiter(apart_ms=200)
        first = call("a", apart)
        await queue.ask(first)
        await queue.ask(call("b", apart))

        queue.clock.advance(30)
        await queue.end(first)
        queue.clock.advance(200 + ROUNDED_MS - 1)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["b"])

    @pytest.mark.parametrize(("answered_after_ms", "apart_ms"), [(5, 202), (9, 206)])
    async def test_what_an_answer_took_longer_than_the_quickest_is_added_to_the_spacing(
        self, queue: Queue, answered_after_ms: int, apart_ms: int
    ) -> None:
        apart = limiter(apart_ms=200)
        await answer_quickly(queue, apart)
        slower = call("slower", apart)
        await queue.ask(slower)
        await queue.ask(call("next", apart))

        queue.clock.advance(answered_after_ms)
        await queue.end(slower)
        queue.clock.advance(apart_ms - answered_after_ms - 1)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["next"])

    @pytest.mark.parametrize(("answers", "apart_ms"), [(0, 400), (QUICKEST_OF, 204)])
    async def test_calls_begin_farther_apart_while_the_one_before_is_not_answered(
        self, queue: Queue, answers: int, apart_ms: int
    ) -> None:
        apart = limiter(apart_ms=200)
        await answer_quickly(queue, apart, answers)
        await queue.ask(call("a", apart))
        await queue.ask(call("b", apart))

        queue.clock.advance(apart_ms - 1)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["b"])

    async def test_a_burst_is_refilled_at_the_rate(self, queue: Queue) -> None:
        burst = limiter(count=10, window_ms=1_000, burst=2)

        began = [await queue.ask(call(name, burst)) for name in "abc"]
        queue.clock.advance(100)

        assert began == [["a"], ["b"], []]
        assert await queue.look() == ["c"]

    async def test_nothing_begins_while_a_service_is_held(self, queue: Queue) -> None:
        any_number = limiter(concurrency=5)
        await queue.hold(any_number, queue.clock() + 7_000)
        await queue.ask(call("a", any_number))

        queue.clock.advance(6_999)
        too_early = await queue.look()
        queue.clock.advance(1)

        assert (too_early, await queue.look()) == ([], ["a"])

    async def test_a_service_that_says_less_is_left_is_believed(self, queue: Queue) -> None:
        ten = limiter(count=10, window_ms=60_000)
        await queue.believe(ten, left=1, until_ms=queue.clock() + 5_000, of=10)

        began = [await queue.ask(call(name, ten)) for name in "ab"]
        queue.clock.advance(5_000)

        assert began == [["a"], []]
        assert await queue.look() == ["b"]

    async def test_as_much_is_left_to_other_clients_as_they_used_between_the_last_words(self, queue: Queue) -> None:
        twenty = limiter(count=20, window_ms=60_000)
        until_ms = queue.clock() + 5_000
        await queue.believe(twenty, left=10, until_ms=until_ms, of=20)
        await queue.believe(twenty, left=8, until_ms=until_ms, of=20)
        await queue.believe(twenty, left=7, until_ms=until_ms, of=20)

        began = [await queue.ask(call(name, twenty)) for name in "abcdef"]

        assert began == [["a"], ["b"], ["c"], ["d"], ["e"], []]

    async def test_a_service_that_says_more_is_left_is_believed_if_its_limit_is_ours(self, queue: Queue) -> None:
        two = limiter(count=2, window_ms=60_000)
        for name in "ab":
            done = call(name, two)
            await queue.ask(done)
            await queue.end(done)

        await queue.believe(two, left=1, until_ms=queue.clock() + 5_000, of=2)

        assert await queue.ask(call("c", two)) == ["c"]

    async def test_a_release_ends_what_the_service_said_is_left(self, queue: Queue) -> None:
        ten = limiter(count=10, window_ms=60_000)
        await queue.believe(ten, left=0, until_ms=queue.clock() + 31 * 86_400_000, of=10)
        waits = await queue.ask(call("a", ten))

        assert (waits, await queue.release(ten)) == ([], ["a"])

    async def test_a_service_with_a_larger_limit_than_ours_does_not_widen_it(self, queue: Queue) -> None:
        two = limiter(count=2, window_ms=60_000)
        for name in "ab":
            await queue.ask(call(name, two))

        await queue.believe(two, left=90, until_ms=queue.clock() + 5_000, of=100)

        assert await queue.ask(call("c", two)) == []

    async def test_a_new_limit_holds_at_once_and_what_is_used_stays_used(self, queue: Queue) -> None:
        await queue.ask(call("a", limiter(count=1, window_ms=60_000)))
        wider = Limiter("service", CallLimit(count=2, window_ms=60_000), version=2)

        began = [await queue.ask(call(name, wider)) for name in "bc"]

        assert began == [["b"], []]

    async def test_no_window_ever_holds_more_than_the_limit_whatever_the_order_of_events(self, queue: Queue) -> None:
        chance = random.Random(7)
        limit = limiter(count=5, window_ms=1_000, concurrency=3)
        running: dict[str, tuple[Call, int]] = {}
        waiting: dict[str, Call] = {}
        counted_ms: list[int] = []

        for number in range(600):
            queue.clock.advance(chance.choice((0, 0, 1, 20, 150)))
            began: list[str] = []
            if len(waiting) < 5:
                new = call(str(number), limit, priority=chance.choice((HIGH, NORMAL, LOW)))
                waiting[new.call_id] = new
                began = await queue.ask(new)
            elif running:
                ended, since_ms = running.pop(chance.choice(sorted(running)))
                counted_ms.append(chance.randint(since_ms, min(queue.clock(), since_ms + COUNTED_WITHIN_MS)))
                began = await queue.end(ended)
            for name in [*began, *await queue.look()]:
                running[name] = waiting.pop(name), queue.clock()
            assert len(running) <= 3

        counted_ms.sort()
        assert len(counted_ms) > 40
        assert all(sixth - first >= 1_000 for first, sixth in zip(counted_ms, counted_ms[5:], strict=False))
