"""News reach every other process, or each is told that some may be missing; each object plays a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis.broker import connect
from tempogram.engine.brokers.redis.keys import NEWS
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.redis_changes import BATCH_MAX, BY, ITEM, LENGTH, WAITING_MAX, RedisChanges
from tempogram.engine.ports.changes import BotChanged, Change, ChatChanged, Missed
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.redis_server import own_redis, port_of

WITHIN_S = 2.0  # as promised; an outage takes some time more to be over
OUTAGE_S = 8.0


@dataclass
class Ear:
    """Notes what it is told."""

    heard: list[Change] = field(default_factory=list)
    held_up: asyncio.Event | None = None

    async def listen(self, item: Change) -> None:
        if self.held_up is not None:
            await self.held_up.wait()
        self.heard.append(item)

    async def hears(self, *items: Change, within_s: float = WITHIN_S) -> None:
        """Wait until exactly this was heard, and forget it."""
        await until(lambda: len(self.heard) >= len(items), self.heard, within_s)
        assert self.heard == list(items)
        self.heard.clear()


async def test_the_others_hear_it_and_oneself_does_not(redis: Redis) -> None:
    async with process(redis, 1) as (one, own), process(redis, 2) as (two, other), process(redis, 3) as (_, third):
        await one.announce(BotChanged(42))
        await other.hears(BotChanged(42))
        await third.hears(BotChanged(42))
        await two.announce(ChatChanged(42, "@news"))

        await own.hears(ChatChanged(42, "@news"))
        assert other.heard == []


async def test_what_is_announced_between_the_beginning_and_the_listening_is_heard(redis: Redis) -> None:
    late = RedisChanges(redis, process=1, conditions=Conditions(lambda: 0))
    await late.begin()
    async with process(redis, 2) as (other, _):
        await other.announce(BotChanged(1))
        await other.announced()
        async with listening(late) as ear:
            await ear.hears(BotChanged(1))


async def test_who_never_began_is_told_first_that_something_may_be_missing(redis: Redis) -> None:
    async with listening(RedisChanges(redis, process=1, conditions=Conditions(lambda: 0))) as ear:
        await ear.hears(Missed())


async def test_a_crowd_is_heard_in_order_and_without_a_gap(redis: Redis) -> None:
    crowd = [ChatChanged(1, number) for number in range(WAITING_MAX)]
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        for item in crowd:
            await one.announce(item)

        await other.hears(*crowd)


async def test_more_than_may_wait_become_a_word_that_some_are_missing(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        for number in range(WAITING_MAX + 1):
            await one.announce(BotChanged(number))

        await until(lambda: Missed() in other.heard, other.heard)


async def test_who_is_so_far_behind_that_the_stream_was_trimmed_is_told_once(redis: Redis) -> None:
    async with process(redis, 1) as (_, slow):
        slow.held_up = asyncio.Event()
        await add_strange(redis, 1)
        await add_strange(redis, LENGTH + 2 * BATCH_MAX + 200)
        slow.held_up.set()

        await until(lambda: Missed() in slow.heard, slow.heard)
        await asyncio.sleep(0.1)
        assert slow.heard.count(Missed()) == 1
        assert await redis.xlen(NEWS) < LENGTH + 500


async def test_a_stream_that_is_gone_is_noticed_with_the_next_news(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        await redis.unlink(NEWS)
        await one.announce(BotChanged(1))
        await other.hears(Missed())
        await one.announce(BotChanged(2))

        await other.hears(BotChanged(2))


async def test_an_emptied_redis_is_noticed_after_a_heartbeat_at_the_latest(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempogram.engine.channels.redis_changes.HEARTBEAT_S", 0.05)
    async with process(redis, 1) as (_, ear):
        await redis.flushall()

        await ear.hears(Missed())


@pytest.mark.parametrize("keeps", ["its data", "older data", "nothing"])
async def test_a_redis_that_was_started_anew_is_noticed_once(tmp_path: Path, keeps: str) -> None:
    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connect(url))
            one, _ = await stack.enter_async_context(process(redis, 1))
            _, other = await stack.enter_async_context(process(redis, 2))
            if keeps == "older data":
                await redis.save()
            await one.announce(BotChanged(1))
            await other.hears(BotChanged(1))
            if keeps == "its data":
                await redis.save()
        with own_redis(tmp_path, port=port_of(url)):
            await other.hears(Missed(), within_s=OUTAGE_S)
            await one.announce(BotChanged(2))

            await other.hears(BotChanged(2), within_s=OUTAGE_S)


async def test_what_could_not_be_told_makes_the_others_read_everything_again(tmp_path: Path) -> None:
    conditions = Conditions(lambda: 0)
    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connect(url))
            one, _ = await stack.enter_async_context(process(redis, 1, conditions))
            for number in range(3):
                await one.announce(BotChanged(number))
        with capture_logs() as logs:
            for number in range(3):
                await one.announce(BotChanged(number))
                await one.announced()
            away = conditions.current
            with own_redis(tmp_path, port=port_of(url)):
                late = await stack.enter_async_context(connect(url))
                _, other = await stack.enter_async_context(process(late, 2))
                await until(lambda: Missed() in other.heard, other.heard, OUTAGE_S)
                await until(lambda: not conditions.current, conditions.current, OUTAGE_S)

    assert away == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_a_full_redis_takes_no_news_and_the_others_hear_of_it_when_it_has_room(redis: Redis) -> None:
    conditions = Conditions(lambda: 0)
    async with process(redis, 1, conditions) as (one, _), process(redis, 2) as (_, other):
        await redis.config_set("maxmemory", "1")
        try:
            await one.announce(BotChanged(1))
            await one.announced()
            full = conditions.current
        finally:
            await redis.config_set("maxmemory", "0")

        await other.hears(Missed(), within_s=OUTAGE_S)
        await until(lambda: not conditions.current, conditions.current, OUTAGE_S)

    assert full == [Condition.REDIS_FULL]


async def test_a_redis_that_is_away_from_the_start_is_no_failure(tmp_path: Path) -> None:
    async with connect("redis://127.0.0.1:1/0") as nobody:
        changes = RedisChanges(nobody, process=1, conditions=Conditions(lambda: 0))

        await changes.begin()
        await changes.announce(BotChanged(1))
        await changes.announced()


async def test_whoever_wants_to_know_is_told_that_redis_is_missed() -> None:
    missed = asyncio.Event()
    async with connect("redis://127.0.0.1:1/0") as nobody:
        listening = asyncio.create_task(
            RedisChanges(nobody, process=1, conditions=Conditions(lambda: 0), when_away=missed.set).run(Ear().listen)
        )
        async with asyncio.timeout(OUTAGE_S):
            await missed.wait()
        listening.cancel()


async def test_what_only_another_version_knows_is_left_out(redis: Redis) -> None:
    async with process(redis, 1) as (_, ear), process(redis, 2) as (other, _):
        for odd in (b"", b"nonsense", b"\x91\xa3new", b"\x92\xa3bot\xa1x"):
            await redis.xadd(NEWS, {BY: b"00000009", ITEM: odd})
        await redis.xadd(NEWS, {b"nothing": b"of ours"})
        await other.announce(BotChanged(1))

        await ear.hears(BotChanged(1))


async def test_who_is_idle_says_nothing(redis: Redis) -> None:
    async with process(redis, 1), process(redis, 2):
        await asyncio.sleep(0.05)
        before = (await redis.info("stats"))["total_commands_processed"]
        await asyncio.sleep(0.3)
        after = (await redis.info("stats"))["total_commands_processed"]

    assert after - before == 1  # this question itself


async def test_alone_there_is_nothing_to_hear() -> None:
    changes, ear = MemoryChanges(), Ear()
    task = asyncio.create_task(changes.run(ear.listen))

    await changes.announce(BotChanged(1))
    await asyncio.sleep(0)

    assert (ear.heard, task.done()) == ([], False)
    task.cancel()


@asynccontextmanager
async def process(
    redis: Redis, number: int, conditions: Conditions | None = None
) -> AsyncIterator[tuple[RedisChanges, Ear]]:
    changes = RedisChanges(redis, process=number, conditions=conditions or Conditions(lambda: 0))
    await changes.begin()
    async with listening(changes) as ear:
        yield changes, ear


@asynccontextmanager
async def listening(changes: RedisChanges) -> AsyncIterator[Ear]:
    ear = Ear()
    task = asyncio.create_task(changes.run(ear.listen))
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def add_strange(redis: Redis, count: int) -> None:
    """Let a process that is none of these announce so much, trimmed as each of them does."""
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.xadd(NEWS, {BY: b"00000009", ITEM: b"\x92\xa3bot" + bytes([number % 100])}, maxlen=LENGTH)
        await pipe.execute()


async def until(condition: Callable[[], bool], seen: object, within_s: float = WITHIN_S) -> None:
    try:
        async with asyncio.timeout(within_s):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"in time there was only {seen}")
