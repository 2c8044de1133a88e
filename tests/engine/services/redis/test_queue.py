from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.memory_queue import COVER_MS, RECLAIM_MS
from tempogram.engine.services.meter import COUNTED_WITHIN_MS
from tempogram.engine.services.redis.queue import Heard, RedisCallQueue, ask, limiter_words
from tempogram.engine.services.redis.scripts import LEASE_MS, PROBED_MS
from tempogram.engine.services.redis.sight import Sight
from tests.engine.services.queue_contract import CallQueueContract, Queue, call, limiter
from tests.engine.services.test_memory_queue import InMemory
from tests.fakes import Clock

LONG_AGO_MS = 100_000


class InRedis:
    """See ``Queue``; one process."""

    def __init__(self, redis: Redis, clock: Clock, process: str = "p1", *, keeps_uses: bool = False) -> None:
        self.clock = clock
        self.lost: list[str] = []
        self.queue = RedisCallQueue(
            redis, process, clock=clock, keeps_uses=keeps_uses, lost=lambda call: self.lost.append(call.call_id)
        )
        self.calls: dict[str, Call] = {}

    async def say(self, *words: list[Any]) -> Heard:
        return await self.queue.say(list(words), list(self.calls.values()))

    async def ask(self, call: Call) -> list[str]:
        self.calls[call.call_id] = call
        return self._began(await self.say(ask(call)))

    async def end(self, call: Call, used: Sequence[int] | None = None) -> list[str]:
        self.calls.pop(call.call_id, None)
        return self._began(await self.say(["end", call.call_id, list(used) if used is not None else False]))

    async def hold(self, limiter: Limiter, until_ms: int) -> list[str]:
        return self._began(await self.say(["hold", limiter_words(limiter), until_ms, "a test"]))

    async def release(self, limiter: Limiter) -> list[str]:
        return await self.hold(limiter, 0)

    async def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None = None) -> list[str]:
        return self._began(await self.say(["believe", limiter_words(limiter), left, until_ms, of or 0]))

    async def look(self) -> list[str]:
        return self._began(await self.say())

    async def tell(self, *words: Any) -> list[str]:
        return self._began(await self.say(list(words)))

    def _began(self, heard: Heard) -> list[str]:
        for call_id in heard.begun:
            if call_id in self.calls:
                self.calls[call_id].began_at_ms = heard.now_ms
        return heard.begun


@pytest.fixture
async def queue(redis: Redis, clock: Clock) -> InRedis:
    queue = InRedis(redis, clock)
    await queue.look()
    clock.advance(LONG_AGO_MS)  # the queue began long ago
    return queue


class TestRedisCallQueue(CallQueueContract):
    @pytest.fixture
    def queue(self, queue: InRedis) -> Queue:
        return queue


@pytest.mark.parametrize("seed", range(6))
async def test_both_queues_let_the_same_calls_begin(redis: Redis, queue: InRedis, seed: int) -> None:
    clock, chance, memory = queue.clock, random.Random(seed), InMemory(queue.clock)
    limiters = [limiter_by(chance, name) for name in "abcde"]
    sight = Sight(redis, clock=clock, keeps_uses=False)
    live: dict[str, Call] = {}
    for step in range(120):
        clock.advance(chance.choice((0, 0, 0, 1, 5, 50, 200, 1_000)))
        match chance.choices(("ask", "end", "hold", "believe", "new limit"), (10, 6, 1, 1, 1))[0]:
            case "ask":
                charges = tuple(charge_by(chance, each) for each in chance.sample(limiters, chance.randint(1, 4)))
                new = Call(charges, chance.choice((2, 5, 8)), call_id=str(step))
                live[new.call_id] = new
                same = await memory.ask(new), await queue.ask(twin(new))
            case "end" if live:
                ended = live.pop(chance.choice(sorted(live)))
                used = None if chance.random() < 0.6 else [chance.choice((0, 1, 5)) for _ in ended.charges]
                same = await memory.end(ended, used), await queue.end(twin(ended), used)
            case "hold":
                held, until_ms = chance.choice(limiters), clock() + chance.choice((10, 500))
                same = await memory.hold(held, until_ms), await queue.hold(held, until_ms)
            case "believe":
                named, left, of = chance.choice(limiters), chance.randint(0, 4), chance.choice((None, 1, 3))
                until_ms = clock() + chance.choice((10, 500))
                same = (
                    await memory.believe(named, left=left, until_ms=until_ms, of=of),
                    await queue.believe(named, left=left, until_ms=until_ms, of=of),
                )
            case _:
                place = chance.randrange(len(limiters))
                old = limiters[place]
                changed = CallLimit(count=chance.randint(1, 5), window_ms=chance.choice((50, 1_000)))
                limiters[place] = Limiter(old.name, changed, old.version + 1)
                same = await memory.look(), await queue.look()
        assert sorted(same[0]) == sorted(same[1]), f"step {step}"
        shown = [memory.queue.state(each, clock()) for each in limiters]
        assert shown == await sight.states(limiters), f"step {step}"


async def test_two_processes_share_every_limit(redis: Redis, queue: InRedis) -> None:
    other = InRedis(redis, queue.clock, "p2")
    await other.look()
    two = limiter(concurrency=2)

    began = [await queue.ask(call("a", two)), await other.ask(call("b", two)), await queue.ask(call("c", two))]

    assert began == [["a"], ["b"], []]


async def test_a_call_that_another_process_lets_begin_is_handed_to_its_own(redis: Redis, queue: InRedis) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(concurrency=1)
    first = call("a", one)
    await queue.ask(first)
    await other.ask(call("b", one))

    assert await queue.end(first) == []
    assert await redis.lrange("{svc0}:begun:p2", 0, -1) == [b"b"]
    assert await other.look() == ["b"]


async def test_the_places_of_a_dead_process_come_back_when_it_was_not_heard_of_for_a_lease(
    redis: Redis, queue: InRedis
) -> None:
    dead, one = InRedis(redis, queue.clock, "dead"), limiter(concurrency=1)
    await dead.ask(call("held", one))
    await dead.ask(call("waits", one))
    await queue.ask(call("b", one))

    queue.clock.advance(LEASE_MS - 1)
    too_early = await queue.look()
    queue.clock.advance(1)

    assert (too_early, await queue.look()) == ([], ["b"])


async def test_a_call_that_is_asked_for_again_as_the_answer_was_lost_takes_one_place(queue: InRedis) -> None:
    two, first = limiter(concurrency=2), call("a", limiter(concurrency=2))
    await queue.ask(first)
    first.began_at_ms = -1  # the answer was lost

    again = (await queue.queue.say([], list(queue.calls.values()), asks_again=True)).begun

    assert again == ["a"]
    assert [await queue.ask(call("b", two)), await queue.ask(call("c", two))] == [["b"], []]


async def test_a_process_not_heard_of_for_a_lease_hears_which_calls_have_lost_their_places(
    redis: Redis, queue: InRedis
) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(concurrency=1)
    await queue.ask(call("held", one))
    await queue.ask(call("waits", one))
    await other.ask(call("b", one))
    queue.clock.advance(LEASE_MS)
    began = await other.look()

    await queue.look()

    assert (began, queue.lost) == (["b"], ["held"])


@pytest.mark.parametrize("are_others_there", [True, False])
async def test_calls_that_waited_in_a_process_not_heard_of_for_a_lease_stand_in_line_again(
    redis: Redis, queue: InRedis, *, are_others_there: bool
) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(concurrency=1)
    held = call("held", one)
    await queue.ask(held)
    await queue.ask(call("waits", one))
    queue.clock.advance(LEASE_MS)
    if are_others_there:
        await other.look()
    began = await queue.look()

    assert (began, queue.lost) == (["waits"], ["held"])
    assert await queue.end(held) == [], "its place is not its own any more"


async def test_a_process_that_had_no_calls_for_a_lease_loses_nothing(queue: InRedis) -> None:
    queue.clock.advance(2 * LEASE_MS)

    began = await queue.ask(call("a", limiter(concurrency=1)))

    assert (began, queue.lost) == (["a"], [])


async def test_time_goes_on_when_the_clock_of_redis_was_set_back(queue: InRedis) -> None:
    one = limiter(count=1, window_ms=1_000)
    await queue.ask(call("a", one))
    await queue.ask(call("b", one))

    queue.clock.advance(-3_600_000)
    await queue.look()
    queue.clock.advance(2_000)
    too_early = await queue.look()
    queue.clock.advance(1)

    assert (too_early, await queue.look()) == ([], ["b"])


async def test_after_an_emptied_redis_calls_under_way_count_before_others_begin(redis: Redis, queue: InRedis) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(concurrency=1)
    await queue.ask(call("running", one))
    await other.look()
    await redis.flushall()

    began = await other.ask(call("b", one))
    queue.clock.advance(1_000)
    await queue.look()  # says that it is running
    queue.clock.advance(RECLAIM_MS)
    await queue.look()

    assert (began, await other.look()) == ([], [])


async def test_after_an_emptied_redis_calls_that_wait_wait_on_in_their_order(redis: Redis, queue: InRedis) -> None:
    one = limiter(concurrency=1)
    running = call("running", one)
    await queue.ask(running)
    for name in "ab":
        await queue.ask(call(name, one))
    await redis.flushall()

    await queue.look()
    queue.clock.advance(RECLAIM_MS)

    assert await queue.end(running) == ["a"]


async def test_after_an_emptied_redis_a_window_counts_what_was_answered_before_its_process_heard_of_it(
    redis: Redis, queue: InRedis
) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(count=1, window_ms=1_000)
    running = call("running", one)
    await queue.ask(running)
    await other.look()
    await redis.flushall()
    await other.ask(call("b", one))

    queue.clock.advance(COUNTED_WITHIN_MS)
    await queue.end(running)  # the service may have counted it just now
    queue.clock.advance(999)
    too_early = await other.look()
    queue.clock.advance(1)

    assert (too_early, await other.look()) == ([], ["b"])


async def test_after_an_emptied_redis_the_newest_limit_holds_that_a_process_knows(redis: Redis, queue: InRedis) -> None:
    none, one = limiter(), Limiter("service", CallLimit(concurrency=1), version=2)
    await queue.ask(call("a", none))
    await queue.ask(call("b", one))
    await redis.flushall()
    await queue.look()
    queue.clock.advance(LONG_AGO_MS // 20)

    assert await queue.ask(call("c", none)) == []


async def test_a_call_that_waits_elsewhere_does_not_bring_an_outdated_limit_back(queue: InRedis) -> None:
    other, outdated, newer = limiter("other", concurrency=1), limiter(), Limiter("service", CallLimit(concurrency=1), 2)
    running, by_newer = call("running", other), call("by newer", newer)
    await queue.ask(running)
    await queue.ask(call("waits", other, outdated))
    await queue.ask(by_newer)
    await queue.end(by_newer)
    for _ in range(4):
        queue.clock.advance(2_000)
        await queue.look()  # the limiter is forgotten, as nothing of it is used

    assert await queue.end(running) == ["waits"]
    assert await queue.ask(call("next", newer)) == []


async def test_calls_that_were_forgotten_while_nothing_was_heard_of_their_process_wait_on(
    redis: Redis, queue: InRedis
) -> None:
    other, one = InRedis(redis, queue.clock, "p2"), limiter(concurrency=1)
    running = call("running", one)
    await other.ask(running)
    await queue.ask(call("waiting", one))
    queue.clock.advance(LEASE_MS - 1)
    await other.look()
    queue.clock.advance(1)
    await other.look()  # forgets those of the first

    await queue.look()

    assert [*await other.end(running), *await queue.look()] == ["waiting"]


async def test_an_operation_is_called_by_none_once_two_processes_find_it_failing(redis: Redis, queue: InRedis) -> None:
    other, third, sms = (
        InRedis(redis, queue.clock, "p2"),
        InRedis(redis, queue.clock, "p3"),
        limiter("sms", concurrency=9),
    )
    until_ms = queue.clock() + 60_000

    of_one = (await queue.say(["fails", limiter_words(sms), until_ms, 1])).failing
    of_two = (await other.say(["fails", limiter_words(sms), until_ms, 1])).failing

    assert (of_one, of_two) == ({}, {"sms": until_ms})
    assert await third.ask(call("a", sms)) == []


async def test_an_operation_that_failed_is_probed_by_as_many_as_its_rule_says(redis: Redis, queue: InRedis) -> None:
    other, sms = InRedis(redis, queue.clock, "p2"), limiter("sms", concurrency=9)
    for each in (queue, other):
        await each.say(["fails", limiter_words(sms), queue.clock() + 5_000, 1])
    queue.clock.advance(5_000)

    probes = [*await queue.ask(call("a", sms)), *await other.ask(call("b", sms))]
    after_success = (await queue.say(["end", "a", False], ["well", limiter_words(sms)])).begun

    assert probes == ["a"]
    assert after_success == []
    assert await other.look() == ["b"]


async def test_a_released_hold_does_not_end_what_holds_since_the_start(redis: Redis, clock: Clock) -> None:
    queue, one = InRedis(redis, clock), limiter(count=1, window_ms=3_000)
    await queue.ask(call("a", one))
    await queue.hold(one, clock() + 60_000)

    assert await queue.say(["hold", limiter_words(one), 0, ""]) == await queue.say()
    clock.advance(3_000)
    assert await queue.look() == ["a"]


async def test_an_operation_is_not_only_probed_for_ever_when_the_processes_that_found_it_failing_have_ended(
    redis: Redis, queue: InRedis
) -> None:
    other, sms = InRedis(redis, queue.clock, "p2"), limiter("sms", concurrency=9)
    for each in (queue, other):
        await each.say(["fails", limiter_words(sms), queue.clock() + 5_000, 1])
    newer = InRedis(redis, queue.clock, "p3")
    await newer.look()

    queue.clock.advance(5_000 + PROBED_MS)

    assert [await newer.ask(call(name, sms)) for name in "abc"] == [["a"], ["b"], ["c"]]


async def test_what_a_limiter_wants_of_the_database_may_be_done_by_a_process_that_does_not_know_it(
    redis: Redis, clock: Clock
) -> None:
    one, other = (InRedis(redis, clock, name, keeps_uses=True) for name in ("p1", "p2"))
    await one.ask(call("a", limiter("mentions", count=10, window_ms=900_000)))
    clock.advance(COVER_MS)

    assert (await other.say()).wants == [("mentions", -1, 900_000)]


async def test_a_vote_that_lasts_longer_outlives_a_later_one_that_ends_sooner(redis: Redis, queue: InRedis) -> None:
    other, third = (InRedis(redis, queue.clock, name) for name in ("p2", "p3"))
    sms = limiter("sms", concurrency=9)
    await queue.say(["fails", limiter_words(sms), queue.clock() + 60_000, 1])
    await other.say(["fails", limiter_words(sms), queue.clock() + 1, 1])
    await asyncio.sleep(0.01)  # keys expire by the clock of Redis
    queue.clock.advance(2)

    await third.say(["fails", limiter_words(sms), queue.clock() + 5_000, 1])

    assert await third.ask(call("a", sms)) == []


async def test_no_more_is_said_to_the_database_than_may_begin(redis: Redis, clock: Clock) -> None:
    queue, ten = InRedis(redis, clock, keeps_uses=True), limiter("mentions", count=10, window_ms=900_000)
    for number in range(20):
        await queue.ask(call(str(number), ten))
    await queue.say(["restore", "mentions", [[clock() - 1_000, 7]]])
    clock.advance(COVER_MS)

    assert (await queue.say()).wants == [("mentions", 3, 900_000)]


async def test_a_limiter_of_which_nothing_is_used_leaves_no_key(redis: Redis, queue: InRedis) -> None:
    one = limiter("tenant", count=1, window_ms=50)
    done = call("a", one)
    await queue.ask(done)
    await queue.end(done)
    queue.clock.advance(LONG_AGO_MS)
    await queue.look()

    kept = {key async for key in redis.scan_iter() if await redis.ttl(key) < 0}
    assert kept == {b"{svc0}:state", b"{svc0}:processes"}


async def test_a_changed_limit_of_a_tenant_that_calls_no_more_is_forgotten_while_others_call(
    redis: Redis, queue: InRedis
) -> None:
    first, second = (Limiter(f"shop@{name}", CallLimit(concurrency=1), version=2) for name in ("first", "second"))
    await queue.ask(call("a", first))
    await redis.pexpire("{svc0}:limit:shop@first", 1)
    await asyncio.sleep(0.01)

    await queue.ask(call("b", second))

    assert await redis.keys("{svc0}:limit:*") == [b"{svc0}:limit:shop@second"]


def twin(of: Call) -> Call:
    return Call(of.charges, of.priority, call_id=of.call_id)


def charge_by(chance: random.Random, of: Limiter) -> Charge:
    return Charge(of, chance.choice((1, 1, 1, 2, 400)) if of.limit.count > 3 else 1)


def limiter_by(chance: random.Random, name: str) -> Limiter:
    return limiter(
        name,
        **chance.choice(
            (
                {"count": chance.randint(1, 5), "window_ms": chance.choice((50, 1_000, 3_000))},
                {"concurrency": chance.randint(1, 3)},
                {"count": chance.randint(2, 6), "window_ms": 1_000, "burst": chance.randint(1, 2)},
                {"apart_ms": chance.choice((10, 200))},
                {"count": 1_000, "window_ms": 4_000, "concurrency": 3},
            )
        ),
    )
