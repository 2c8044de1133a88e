"""The Redis broker keeps the contract; and what concerns only one in another process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from redis.asyncio import Redis

from tempogram.engine.brokers.redis import codec, keys
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.clock_gap import ClockGap
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.brokers.redis.ownership import Ownership
from tempogram.engine.channels.redis_changes import RedisChanges
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import Connections, Pool
from tempogram.engine.model.clock import SET_BACK_MS, SystemClock
from tempogram.engine.model.errors import BrokerFull, BrokerUnavailable, QueueLost, SettingsError
from tempogram.engine.model.messages import (
    PRIORITIES,
    Again,
    ChatId,
    Done,
    Guarantee,
    Lease,
    Outgoing,
    PastSend,
    Settlement,
)
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.batcher import BatchedCalls
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.brokers.contract import BrokerContract
from tests.engine.brokers.contract.steps import (
    LEASE_MS,
    UNLIMITED,
    MakeBroker,
    edit,
    lease,
    leased_ids,
    many,
    queue,
    send_all,
    settle,
)
from tests.engine.redis_server import own_redis, set_ahead
from tests.fakes import Clock, outgoing

HOUR_MS = 3_600_000


@pytest.fixture
def make(clock: Clock, redis: Redis) -> MakeBroker:
    return lambda limits: RedisBroker(redis, limits, lease_ms=LEASE_MS, clock=clock, begins=True)


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    def make(self, clock: Clock, redis: Redis) -> MakeBroker:
        return lambda limits: RedisBroker(redis, limits, lease_ms=LEASE_MS, clock=clock, begins=True)


# A queue that is gone, or old


async def test_a_redis_that_is_away_is_unavailable() -> None:
    async with connect("redis://127.0.0.1:1/0") as away:
        broker = RedisBroker(away, Limits(), lease_ms=LEASE_MS)

        with pytest.raises(BrokerUnavailable, match="cannot be reached"):
            await broker.stats()


@pytest.mark.parametrize(
    "url", ["redis://:pass/word@host:6379", "redis://host:port", "redis://host/0?db=x", "redis://host?no_such=1"]
)
def test_a_redis_url_that_makes_no_sense_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL makes no sense") as refused:
        connect(url)

    assert "word" not in str(refused.value).replace("password", "")


async def test_a_redis_without_a_queue_leases_nothing_until_it_is_rebuilt(redis: Redis, clock: Clock) -> None:
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock)
    with pytest.raises(BrokerUnavailable, match="rebuilt from the ledger"):
        await lease(broker)

    await broker.begin()
    await queue(broker, many(2))
    with pytest.raises(BrokerUnavailable, match="nothing is leased"):
        await lease(broker)
    await broker.restore([], wait_until_ms={})

    assert await leased_ids(broker) == ["m0000", "m0001"]


async def test_a_late_rebuild_changes_nothing_of_the_next_queue(redis: Redis, clock: Clock) -> None:
    frozen, awake = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock) for _ in range(2))
    rebuilt = await frozen.begin()
    await queue(rebuilt, many(1))

    await awake.begin()
    for late in (
        rebuilt.admit(many(2), worker_id="", slots=0),
        rebuilt.restore([], wait_until_ms={}),
        rebuilt.pause(1, paused=True),
        rebuilt.enforce(Limits()),
    ):
        with pytest.raises(QueueLost):
            await late

    assert await redis.hlen("{q2}:messages") == 0
    with pytest.raises(BrokerUnavailable, match="nothing is leased"):
        await lease(awake)


async def test_a_late_clearance_removes_nothing_of_the_next_queue(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, awake = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock) for _ in range(2))
    scan = frozen._calls.scan

    async def and_then_another_is_ready(*words: str, match: str = "*") -> AsyncIterator[list[bytes]]:
        begun = await awake.begin()
        await queue(begun, many(2))
        await begun.restore([], wait_until_ms={})
        async for page in scan(*words, match=match):
            yield page

    monkeypatch.setattr(frozen._calls, "scan", and_then_another_is_ready)
    with pytest.raises(QueueLost):
        await frozen.begin()

    assert await leased_ids(awake) == ["m0000", "m0001"]


async def test_a_queue_that_is_being_cleared_is_found_by_no_broker(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock) for _ in range(2))
    scan = one._calls.scan

    async def and_another_asks(*words: str, match: str = "*") -> AsyncIterator[list[bytes]]:
        with pytest.raises(QueueLost):
            await queue(other, many(1))
        async for page in scan(*words, match=match):
            yield page

    monkeypatch.setattr(one._calls, "scan", and_another_asks)
    await one.begin()

    assert await redis.hlen("{q2}:messages") == 0


async def test_a_queue_of_another_schema_is_not_seen_and_a_newer_one_removes_it(redis: Redis, clock: Clock) -> None:
    older, newer = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock, schema=schema) for schema in (9, 10))
    await RedisChanges(redis, process=1, conditions=Conditions(lambda: 0)).begin()
    await older.begin()
    await queue(older, many(600))
    with pytest.raises(QueueLost):
        await newer.stats()

    await newer.begin()
    with pytest.raises(QueueLost):
        await older.stats()
    await older.begin()

    await newer.stats()
    assert {name.partition(":")[0] for name in await names(redis)} == {"{q9}", "{q10}", "{q}"}


async def test_a_full_redis_lets_the_queue_be_begun_anew(tmp_path: Path, clock: Clock) -> None:
    with own_redis(tmp_path, "--maxmemory-policy", "noeviction") as url:
        async with connect(url) as redis:
            broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock)
            await broker.begin()
            await queue(broker, many(5_000))
            full = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", full - 300_000)
            with pytest.raises(BrokerFull):
                await queue(broker, many(1, prefix="more"))

            await broker.begin()

            await queue(broker, many(1))


async def test_settlements_that_meet_share_their_round_trips(redis: Redis, make: MakeBroker) -> None:
    broker = make(UNLIMITED)
    await queue(broker, [outgoing(f"{number:03}", chat_id=number) for number in range(1, 52)])
    first, *others = [*await lease(broker, 50), *await lease(broker, 1)]
    await settle(broker, [first])
    settlements, before = BatchedCalls(broker.settle, batch_max=BATCH_MAX), await calls_of_scripts(redis)

    settled = await asyncio.gather(*(settlements.ask(Settlement(each, Done(), 0)) for each in others))

    assert all(each.held for each in settled)
    assert await calls_of_scripts(redis) - before == 2
    assert (await broker.stats()).leased == 0


async def calls_of_scripts(redis: Redis) -> int:
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_late_note_does_not_open_a_queue_that_is_being_rebuilt(redis: Redis, clock: Clock) -> None:
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock)
    await broker.begin()

    await broker.note([PastSend(1, 7, clock(), cost=1)])

    with pytest.raises(BrokerUnavailable, match="nothing is leased"):
        await lease(broker)


async def test_a_late_restore_does_not_open_a_queue_that_another_process_rebuilds(redis: Redis, clock: Clock) -> None:
    one, other = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock) for _ in range(2))
    late, begun = await one.begin(), await other.begin()

    with pytest.raises(QueueLost):
        await late.restore([], wait_until_ms={})

    with pytest.raises(BrokerUnavailable, match="nothing is leased"):
        await lease(other)
    await begun.restore([], wait_until_ms={})
    assert await leased_ids(other) == []


async def test_a_lease_of_a_queue_that_was_emptied_is_refused_by_the_next(redis: Redis, make: MakeBroker) -> None:
    broker = make(UNLIMITED)
    assert isinstance(broker, RedisBroker)
    await queue(broker, many(1))
    (old,) = await lease(broker)

    await redis.flushall()
    with pytest.raises(BrokerUnavailable, match="rebuilt from the ledger"):
        await settle(broker, [old])
    await broker.begin()
    await queue(broker, many(1))
    await broker.restore([], wait_until_ms={})
    (new,) = await lease(broker)

    assert (old.number, old.message) == (new.number, new.message)
    assert await broker.extend([old, new], by_ms=1) == [False, True]


async def test_a_redis_that_was_started_anew_is_barred_and_knows_no_lease_from_before(
    tmp_path: Path, clock: Clock
) -> None:
    with own_redis(tmp_path) as url:
        async with connect(url) as redis:
            broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock, begins=True)
            await queue(broker, many(2))
            (old,) = await lease(broker, 1)
            await redis.save()

    with own_redis(tmp_path) as url:
        async with connect(url) as redis:
            broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock, begins=True)

            with pytest.raises(BrokerUnavailable, match="may be older"):
                await lease(broker)
            assert [each.held for each in await settle(broker, [old])] == [False]
            assert await broker.knows(["m0000", "m0001"]) == [True, True]


async def test_a_broker_connected_over_a_restart_of_redis_gets_another_incarnation(
    redis: Redis, make: MakeBroker
) -> None:
    broker = make(UNLIMITED)
    await queue(broker, many(2))
    (old,) = await lease(broker, 1)

    kept = await redis.get("{q2}:state")
    assert isinstance(kept, bytes)
    run_id = (await redis.info("server"))["run_id"].encode()
    assert run_id in kept
    await redis.set("{q2}:state", kept.replace(run_id, b"0" * len(run_id)))  # of a server before, as it would come back
    await redis.script_flush()

    with pytest.raises(BrokerUnavailable, match="may be older"):
        await lease(broker)
    assert broker.incarnation != old.incarnation
    assert [each.held for each in await settle(broker, [old])] == [False]


async def test_a_queue_that_is_begun_anew_keeps_no_key_of_the_last(
    redis: Redis, make: MakeBroker, clock: Clock
) -> None:
    await queue(make(Limits()), many(600))
    broker = RedisBroker(redis, Limits(), lease_ms=LEASE_MS, clock=clock)

    await broker.begin()

    assert await redis.dbsize() == len(["state", "limits", "counts"])
    assert await broker.knows(["m0000"]) == [False]


async def test_a_script_that_redis_forgot_is_loaded_again(redis: Redis, make: MakeBroker) -> None:
    broker = make(UNLIMITED)
    await queue(broker, many(1))

    await redis.script_flush()

    assert await leased_ids(broker) == ["m0000"]


async def test_a_redis_without_memory_left_refuses_a_verb_and_has_done_nothing(redis: Redis, make: MakeBroker) -> None:
    broker = make(UNLIMITED)
    await queue(broker, many(1))
    before = await broker.stats()

    await redis.config_set("maxmemory", 1)
    with pytest.raises(BrokerUnavailable):
        await queue(broker, many(10, prefix="more"))
    await redis.config_set("maxmemory", 0)

    assert await broker.stats() == before
    assert await leased_ids(broker) == ["m0000"]


async def test_a_redis_without_memory_left_opens_leases_and_settles_what_it_has(redis: Redis, clock: Clock) -> None:
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock, begins=True)
    await queue(broker, many(1))
    await leased_ids(broker)
    await broker.begin()
    await queue(broker, many(2))

    await redis.config_set("maxmemory", 1)
    with pytest.raises(BrokerFull):
        await queue(broker, many(10, prefix="more"))
    await broker.restore([PastSend(1, 99, 0, 1)], wait_until_ms={}, spent=[])
    lease, other = (await broker.lease(worker_id="w", slots=2)).leases
    assert await broker.recover(worker_id="w", slots=1) == []
    settled = await broker.settle([Settlement(each, Done(), 0) for each in (lease, other)])
    stats = await broker.stats()
    await redis.config_set("maxmemory", 0)

    assert [each.held for each in settled] == [True, True]
    assert stats.bots == {}


@pytest.mark.parametrize("chat_id", [7, -1001234567890, "@news", "inline:a b", "7", None])
async def test_a_message_comes_back_as_it_went_in(make: MakeBroker, clock: Clock, chat_id: ChatId | None) -> None:
    broker = make(replace(UNLIMITED, user=Limit(3, 1_000), purse=Limit(5, 1_000)))
    message = Outgoing(
        id="018bcfe5680000000000000007",
        bot_id=7_123_456_789,
        chat_id=chat_id,
        method="sendPhoto",
        params=b"\x00\xff no text",
        priority=PRIORITIES[2],
        cost=2,
        submitted_at_ms=clock(),
        ready_at_ms=clock() - 1,
        expires_at_ms=clock() + 1,
        guarantee=Guarantee.AT_MOST_ONCE,
        dedup_key="ключ",
        attempt=3,
        replaces="edit:ü",
        user_id=1 << 52,
        is_paid=True,
        tag="весна",
    )

    await queue(broker, [message])

    assert [each.message for each in await lease(broker)] == [message]


# Several processes


async def test_several_brokers_share_one_queue(redis: Redis, clock: Clock, make: MakeBroker) -> None:
    brokers = [make(UNLIMITED) for _ in range(4)]
    await queue(brokers[0], many(100))

    found = await asyncio.gather(*(lease(brokers[n % 4], 10) for n in range(10)))

    leases: list[Lease] = [each for some in found for each in some]
    assert len({each.message.id for each in leases}) == len({each.number for each in leases}) == 100
    assert all(each.held for each in await settle(brokers[3], leases[:50]))


async def test_a_broker_sleeps_until_another_process_rings(make: MakeBroker) -> None:
    mine, other = make(UNLIMITED), make(UNLIMITED)
    assert await leased_ids(mine) == []
    waiting = asyncio.create_task(mine.wait(until_ms=None))

    await queue(other, many(1))

    async with asyncio.timeout(5):
        await waiting
    assert await leased_ids(mine) == ["m0000"]


async def test_a_broker_that_slept_while_the_queue_was_lost_hears_the_bell_of_the_next(
    redis: Redis, make: MakeBroker, clock: Clock
) -> None:
    sleeper, leader = make(UNLIMITED), RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock)
    await lease(sleeper)
    for number in range(3):
        await queue(leader, many(1, prefix=f"{number}-", chat_id=1 + number))
        assert await leased_ids(sleeper) == [f"{number}-0000"]
    sleeping = asyncio.create_task(sleeper.wait(until_ms=None))

    await redis.flushdb()
    clock.advance(1_000)
    await leader.begin()
    await leader.restore([], wait_until_ms={})
    await queue(leader, many(1, prefix="after"))

    async with asyncio.timeout(5):
        await sleeping
    assert await leased_ids(sleeper) == ["after0000"]


async def test_a_sleeping_broker_sends_one_command(redis: Redis) -> None:
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, begins=True)
    await queue(broker, [outgoing("a", ready_at_ms=await now_ms(redis) + 300)])
    wake_at_ms = (await broker.lease(worker_id="w", slots=1)).wake_at_ms
    await redis.config_resetstat()

    await broker.wait(wake_at_ms)

    asked = {name: each["calls"] for name, each in (await redis.info("commandstats")).items()}
    ours = {name: calls for name, calls in asked.items() if name not in {"cmdstat_config|resetstat", "cmdstat_hello"}}
    assert ours == {"cmdstat_xread": 1}  # which goes on; to ask for this, another connection had to say hello
    assert await leased_ids(broker) == ["a"]


async def test_sleeps_that_are_cut_short_open_no_connection(redis: Redis) -> None:
    mine, other = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, begins=True) for _ in range(2))
    assert await leased_ids(mine) == []
    await sleep_a_little(mine)
    before = await connections_ever(redis)

    for _ in range(20):
        await sleep_a_little(mine)

    assert await connections_ever(redis) == before
    await queue(other, many(1))
    async with asyncio.timeout(5):
        await mine.wait(until_ms=None)
    assert await leased_ids(mine) == ["m0000"]


async def test_a_broker_whose_sleep_was_cut_short_listens_until_redis_is_closed(empty_redis: str) -> None:
    async with connect(empty_redis) as redis:
        broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, begins=True)
        await lease(broker)
        await sleep_a_little(broker)
        listening = broker._wakeup._listening
        assert listening is not None
        assert not listening.done()

    await asyncio.wait([listening], timeout=5)

    assert isinstance(listening.exception(), BrokerUnavailable)


async def sleep_a_little(broker: RedisBroker) -> None:
    """Sleep until Redis has heard of it, and be woken by something else."""
    sleeping = asyncio.create_task(broker.wait(until_ms=None))
    await asyncio.sleep(0.01)
    sleeping.cancel()
    await asyncio.wait([sleeping])
    assert sleeping.cancelled()


async def connections_ever(redis: Redis) -> int:
    return int((await redis.info("stats"))["total_connections_received"])


async def test_a_ring_between_two_sleeps_is_heard_and_an_old_one_is_not(redis: Redis) -> None:
    """The task goes on listening when a sleep is over, and may hear what a lease knows already."""
    mine, other = (RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, begins=True) for _ in range(2))
    assert await leased_ids(mine) == []
    await mine.wait(await now_ms(redis) + 20)
    await queue(other, many(1))
    assert await leased_ids(mine) == ["m0000"]

    waiting = asyncio.create_task(mine.wait(until_ms=None))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await queue(other, many(1, prefix="later", chat_id=99))

    async with asyncio.timeout(5):
        await waiting
    assert await leased_ids(mine) == ["later0000"]


async def test_a_chat_is_not_leased_by_its_old_limit_before_its_page_is_looked_at_again(make: MakeBroker) -> None:
    broker = make(replace(UNLIMITED, chat=Limit(3, 1_000)))
    assert isinstance(broker, RedisBroker)
    await queue(broker, many(3, chat_id=7))
    await settle(broker, await lease(broker))
    await queue(broker, many(1, prefix="other", chat_id=8))

    narrower = replace(UNLIMITED, version=2, chat=Limit(1, 1_000))
    await broker._calls("configure", narrower.version, codec.limits_record(narrower))

    assert await leased_ids(broker) == ["other0000"]


# Time


async def now_ms(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1_000 + int(microseconds) // 1_000


async def test_without_a_clock_the_time_is_that_of_redis(redis: Redis) -> None:
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, begins=True)
    since_ms = await now_ms(redis)
    await queue(broker, many(1))

    (leased,) = await lease(broker)

    assert since_ms + LEASE_MS <= leased.expires_at_ms <= await now_ms(redis) + LEASE_MS


async def test_time_does_not_run_backwards(make: MakeBroker, clock: Clock) -> None:
    broker = make(UNLIMITED)
    await queue(broker, many(2))
    (first,) = await lease(broker, 1)

    clock.now_ms -= SET_BACK_MS - 1
    (second,) = await lease(broker, 1)

    assert second.expires_at_ms == first.expires_at_ms


async def test_a_queue_whose_clock_was_set_back_is_lost_and_one_that_is_begun_anew_leases(redis: Redis) -> None:
    """The state's time was an hour ahead: seven messages left, and then nothing for an hour."""
    conditions = Conditions(SystemClock())
    kept = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock_gap=ClockGap(SystemClock(), conditions))
    begun = await kept.begin()
    await begun.restore([], wait_until_ms={})
    await queue(kept, many(1))
    await set_ahead(redis, HOUR_MS)

    with pytest.raises(QueueLost, match="set back by 3"):
        await lease(kept)

    begun = await kept.begin()
    await queue(begun, many(1))
    await begun.restore([], wait_until_ms={})
    assert await leased_ids(kept) == ["m0000"]
    assert conditions.current == []


async def test_a_queue_that_is_begun_goes_by_the_clock_of_the_process_that_begins_it(redis: Redis) -> None:
    own = Clock(await now_ms(redis) + HOUR_MS)
    conditions = Conditions(own)
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock_gap=ClockGap(own, conditions))
    begun = await broker.begin()
    await begun.restore([], wait_until_ms={1: own() + 500})
    await queue(broker, many(1))

    sent = await broker.lease(worker_id="w", slots=1)

    assert sent.leases == ()
    assert sent.wake_at_ms is not None
    assert sent.wake_at_ms - own() <= 500
    assert conditions.current == [Condition.CLOCKS_DIFFER]
    assert not broker.is_off_clock


async def test_a_process_whose_clock_is_far_from_the_queues_time_shows_it(redis: Redis) -> None:
    right, wrong = Clock(await now_ms(redis)), Clock(await now_ms(redis) - HOUR_MS)
    conditions = Conditions(wrong)
    begins = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock_gap=ClockGap(right, Conditions(right)))
    await (await begins.begin()).restore([], wait_until_ms={})
    broker = RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock_gap=ClockGap(wrong, conditions))

    await broker.lease(worker_id="w", slots=1)
    while_wrong = conditions.current, broker.is_off_clock
    wrong.advance(HOUR_MS)
    await broker.lease(worker_id="w", slots=1)

    assert while_wrong == ([Condition.CLOCKS_DIFFER], True)
    assert (conditions.current, broker.is_off_clock) == ([], False)


async def test_when_more_is_due_than_one_call_looks_at_the_next_calls_go_on(make: MakeBroker, clock: Clock) -> None:
    broker = make(UNLIMITED)
    await queue(broker, [structs.replace(each, ready_at_ms=clock() + 10) for each in many(1_200)])
    clock.advance(10)

    first = await broker.lease(worker_id="w", slots=1)
    sent = await send_all(broker, clock, for_ms=1)

    assert first.wake_at_ms == clock() - 1
    assert len(sent) == 1_199


# Keys


async def test_memory_returns_after_the_backlog_is_gone(redis: Redis, clock: Clock, make: MakeBroker) -> None:
    broker = make(Limits(user=Limit(5, 1_000)))
    for priority in PRIORITIES:
        await queue(
            broker, [structs.replace(each, user_id=500) for each in many(100, prefix=priority, priority=priority)]
        )
    full = await redis.dbsize()

    sent = await send_all(broker, clock, for_ms=90_000)

    assert len(sent) == 300
    left = sorted([name for name in await names(redis) if await redis.pttl(name) == -1])  # Redis forgets the others
    assert full > 300
    assert left == [f"{{q2}}:{name}" for name in ("bell", "bot:1", "bots", "counts", "limits", "state")]


async def test_a_chat_without_a_limit_is_forgotten_with_its_last_message(redis: Redis, make: MakeBroker) -> None:
    broker = make(UNLIMITED)
    await queue(broker, many(2))
    before = await names(redis)

    await settle(broker, await lease(broker, 2))

    assert sum(":chat:" in name for name in before) == 2
    assert not [name for name in await names(redis) if ":chat:" in name]


async def test_every_key_stands_in_the_table_with_its_type(redis: Redis, clock: Clock, make: MakeBroker) -> None:
    await RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, ownership=Ownership("mine")).claim()
    await make_every_key(make, clock)
    await redis.set(f"{keys.prefix()}clock", 3_600_000)  # as where the clocks differ, which they do not here
    await RedisChanges(redis, process=1, conditions=Conditions(lambda: 0)).begin()
    table = {
        re.sub(r"<\w+>", "*", pattern): kind
        for pattern, kind in re.findall(r"^ +(\{q\d*\}:\S+) .*  +(string|hash|set|zset|stream)\b", TABLE, re.MULTILINE)
    }

    kinds: dict[str, set[str]] = {}
    for name in await names(redis):
        (pattern,) = [each for each in table if re.fullmatch(re.escape(each).replace(r"\*", ".*"), name)]
        kinds.setdefault(pattern, set()).add(text(await redis.type(name)))

    assert kinds == {pattern: {kind} for pattern, kind in table.items()}


HELD = {2: "8cfa6f563881b19a"}
"""By schema, a digest of what Redis holds after ``make_every_key``."""


async def test_what_redis_holds_is_what_it_was_or_the_schema_has_been_considered(redis: Redis, clock: Clock) -> None:
    """If this fails, ask whether an older process would misread what it finds, or a newer one what that left.

    If so, make ``SCHEMA`` one higher; else not. Then write the digest down anew.
    """
    await make_every_key(
        lambda limits: RedisBroker(redis, limits, lease_ms=LEASE_MS, clock=clock, begins=True, incarnation=1), clock
    )

    held = {name: await what_it_holds(redis, name) for name in await names(redis)}

    said = json.dumps(held, sort_keys=True, default=bytes.hex)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == HELD[keys.SCHEMA]


async def what_it_holds(redis: Redis, name: str) -> object:
    match text(await redis.type(name)):
        case "string":
            run_id = (await redis.info("server"))["run_id"].encode()
            raw = await redis.get(name)
            assert isinstance(raw, bytes)
            return sorted(raw.replace(run_id, b""))  # the order within a table is not promised
        case "hash":
            return {text(field): value for field, value in (await redis.hgetall(name)).items()}
        case "set":
            return sorted(await redis.smembers(name))
        case "zset":
            return list(await redis.zrange(name, 0, -1, withscores=True))
        case kind:
            return kind  # in the bell only the time of its last entry matters


async def test_bots_that_are_passed_over_are_each_read_once(redis: Redis, make: MakeBroker, clock: Clock) -> None:
    broker, pool = make(UNLIMITED), Pool(100)
    for bot_id in range(1, 95):
        pool.begin(bot_id, "hangs", 1, now_ms=clock())
        await queue(broker, many(1, prefix=f"of{bot_id}-", bot_id=bot_id))
    clock.advance(1_000)
    await redis.config_resetstat()

    leased = await broker.lease(worker_id="w", slots=6, connections=Connections(pool, 6, clock()))

    reads = await redis.info("commandstats")
    assert (leased.leases, leased.is_kept_back) == ((), True)
    assert reads["cmdstat_zrange"]["calls"] < 20


async def names(redis: Redis) -> list[str]:
    return [text(name) for name in await redis.keys()]


def text(word: bytes | str) -> str:
    return word if isinstance(word, str) else word.decode()


TABLE = keys.__doc__ or ""


async def make_every_key(make: MakeBroker, clock: Clock) -> None:
    broker = make(Limits(user=Limit(5, 60_000), purse=Limit(9, 60_000)))
    await broker.migrate(1, -5, -6)
    await queue(broker, [outgoing("failed", bot_id=2), outgoing("failed_paid", bot_id=2, chat_id=12, is_paid=True)])
    for _ in range(3):
        await broker.settle([Settlement(each, Again(0), None, alive=False) for each in await lease(broker)])
        clock.advance(1_000)
    await queue(broker, [structs.replace(each, user_id=500) for each in many(3, prefix="low", priority=PRIORITIES[2])])
    await queue(
        broker, [structs.replace(each, is_paid=True) for each in many(3, prefix="paid", priority=PRIORITIES[0])]
    )
    await queue(broker, [edit("e1"), edit("e2", chat_id=8), outgoing("later", ready_at_ms=clock() + 10)])
    await queue(broker, [outgoing("soon", chat_id=9, expires_at_ms=clock() + 10_000)])
    await queue(broker, [outgoing("one", chat_id=10), structs.replace(outgoing("two", chat_id=10), tag="spring")])
    await queue(broker, [outgoing("uncounted", chat_id=11, cost=0)])
    first, second, *_ = await lease(broker, 4)
    await broker.settle([Settlement(first, Done(), 0), Settlement(second, Again(500), 0)])
