"""Changes reach every other process, or it gets ``Missed``; each channel object plays a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis.keys import NEWS
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.redis_changes import BATCH_MAX, BY, ITEM, LENGTH, WAITING_MAX, RedisChanges
from tempogram.engine.channels.redis_channel import RedisChannel
from tempogram.engine.ports.changes import AccessChanged, BotChanged, Change, ChatChanged, Missed, ServiceChanged
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.retry import Sleep
from tests.engine.redis_server import connected, own_redis, port_of

PATIENCE_S = 60.0
"""Long enough for a machine that does much else; a test ends as soon as what it waits for holds."""

NO_HEARTBEAT_S = 600.0
"""Longer than that, so that no heartbeat finds what is to be found without one."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an answer of Redis take as long, so that a busy machine does not look like an outage."""
    monkeypatch.setattr(RedisChannel, "reply_s", PATIENCE_S)


@dataclass
class Inbox:
    """Keeps what the listener gets."""

    received: list[Change] = field(default_factory=list)
    released: asyncio.Event | None = None

    async def listen(self, item: Change) -> None:
        if self.released is not None:
            await self.released.wait()
        self.received.append(item)

    async def receives(self, *items: Change) -> None:
        """Wait until exactly this was received, and forget it."""
        await until(lambda: len(self.received) >= len(items), self.received)
        assert self.received == list(items)
        self.received.clear()


async def test_a_change_reaches_every_other_process_and_not_its_announcer(redis: Redis) -> None:
    async with process(redis, 1) as (one, own), process(redis, 2) as (two, other), process(redis, 3) as (_, third):
        await one.announce(BotChanged(42))
        await other.receives(BotChanged(42))
        await third.receives(BotChanged(42))
        await two.announce(ChatChanged(42, "@news"))

        await own.receives(ChatChanged(42, "@news"))
        assert other.received == []


async def test_a_change_of_a_service_says_whose_breakers_were_closed(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        await one.announce(ServiceChanged("twilio"))
        await one.announce(ServiceChanged("twilio", closed=("sms", "voice")))

        await other.receives(ServiceChanged("twilio"), ServiceChanged("twilio", closed=("sms", "voice")))


async def test_a_change_of_access_reaches_every_other_process(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        await one.announce(AccessChanged())

        await other.receives(AccessChanged())


async def test_a_change_announced_between_begin_and_run_is_received(redis: Redis) -> None:
    late = RedisChanges(redis, process=1, conditions=Conditions(lambda: 0), heartbeat_s=NO_HEARTBEAT_S)
    await late.begin()
    async with process(redis, 2) as (other, _):
        await other.announce(BotChanged(1))
        await other.flush()
        async with listening(late) as inbox:
            await inbox.receives(BotChanged(1))


async def test_a_listener_that_did_not_begin_gets_missed_first(redis: Redis) -> None:
    async with listening(RedisChanges(redis, process=1, conditions=Conditions(lambda: 0))) as inbox:
        await inbox.receives(Missed())


async def test_many_changes_arrive_in_order_without_a_gap(redis: Redis) -> None:
    crowd = [ChatChanged(1, number) for number in range(WAITING_MAX)]
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        for item in crowd:
            await one.announce(item)

        await other.receives(*crowd)


async def test_more_changes_than_may_wait_become_missed(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        for number in range(WAITING_MAX + 1):
            await one.announce(BotChanged(number))

        await until(lambda: Missed() in other.received, other.received)


async def test_a_listener_behind_a_trimmed_stream_gets_missed_once(redis: Redis) -> None:
    async with process(redis, 1) as (_, slow):
        slow.released = asyncio.Event()
        await add_foreign(redis, 1)
        await add_foreign(redis, LENGTH + 2 * BATCH_MAX + 200)
        slow.released.set()

        await until(lambda: Missed() in slow.received, slow.received)
        await asyncio.sleep(0.1)
        assert slow.received.count(Missed()) == 1
        assert await redis.xlen(NEWS) < LENGTH + 500


async def test_a_deleted_stream_is_noticed_with_the_next_change(redis: Redis) -> None:
    async with process(redis, 1) as (one, _), process(redis, 2) as (_, other):
        await redis.unlink(NEWS)
        await one.announce(BotChanged(1))
        await other.receives(Missed())
        await one.announce(BotChanged(2))

        await other.receives(BotChanged(2))


async def test_an_emptied_redis_is_noticed_after_a_heartbeat_at_the_latest(redis: Redis) -> None:
    async with process(redis, 1, heartbeat_s=0.05) as (_, inbox):
        await redis.flushall()

        await inbox.receives(Missed())


@pytest.mark.parametrize("keeps", ["its data", "older data", "nothing"])
async def test_a_restarted_redis_is_noticed_once(tmp_path: Path, keeps: str) -> None:
    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connected(url))
            one, _ = await stack.enter_async_context(process(redis, 1))
            _, other = await stack.enter_async_context(process(redis, 2))
            if keeps == "older data":
                await redis.save()
            await one.announce(BotChanged(1))
            await other.receives(BotChanged(1))
            if keeps == "its data":
                await redis.save()
        with own_redis(tmp_path, port=port_of(url)):
            await other.receives(Missed())
            await one.announce(BotChanged(2))

            await other.receives(BotChanged(2))


async def test_changes_that_could_not_be_sent_become_missed_for_the_others(tmp_path: Path) -> None:
    conditions, both_listen = Conditions(lambda: 0), asyncio.Event()

    async def sleep(_: float) -> None:
        await both_listen.wait()

    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connected(url))
            one, _ = await stack.enter_async_context(process(redis, 1, conditions, sleep=sleep))
            for number in range(3):
                await one.announce(BotChanged(number))
        with capture_logs() as logs:
            for number in range(3):
                await one.announce(BotChanged(number))
                await one.flush()
            away = conditions.current
            with own_redis(tmp_path, port=port_of(url)):
                late = await stack.enter_async_context(connected(url))
                _, other = await stack.enter_async_context(process(late, 2))
                both_listen.set()
                await until(lambda: Missed() in other.received, other.received)
                await until(lambda: not conditions.current, conditions.current)

    assert away == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_changes_that_a_full_redis_refused_become_missed_when_it_has_room(redis: Redis) -> None:
    conditions = Conditions(lambda: 0)
    async with process(redis, 1, conditions) as (one, _), process(redis, 2) as (_, other):
        await redis.config_set("maxmemory", "1")
        try:
            await one.announce(BotChanged(1))
            await one.flush()
            full = conditions.current
        finally:
            await redis.config_set("maxmemory", "0")

        await other.receives(Missed())
        await until(lambda: not conditions.current, conditions.current)

    assert full == [Condition.REDIS_FULL]


async def test_a_redis_that_is_away_from_the_start_raises_nothing(tmp_path: Path) -> None:
    async with connected("redis://127.0.0.1:1/0") as redis:
        changes = RedisChanges(redis, process=1, conditions=Conditions(lambda: 0))

        await changes.begin()
        await changes.announce(BotChanged(1))
        await changes.flush()


async def test_when_away_is_called_when_redis_is_missed() -> None:
    missed = asyncio.Event()
    async with connected("redis://127.0.0.1:1/0") as redis:
        listening = asyncio.create_task(
            RedisChanges(redis, process=1, conditions=Conditions(lambda: 0), when_away=missed.set).run(Inbox().listen)
        )
        async with asyncio.timeout(PATIENCE_S):
            await missed.wait()
        listening.cancel()


async def test_a_change_that_only_another_version_knows_is_skipped(redis: Redis) -> None:
    async with process(redis, 1) as (_, inbox), process(redis, 2) as (other, _):
        for odd in (b"", b"nonsense", b"\x91\xa3new", b"\x92\xa3bot\xa1x"):
            await redis.xadd(NEWS, {BY: b"00000009", ITEM: odd})
        await redis.xadd(NEWS, {b"nothing": b"of ours"})
        await other.announce(BotChanged(1))

        await inbox.receives(BotChanged(1))


async def test_an_idle_channel_sends_no_command(redis: Redis) -> None:
    async with process(redis, 1), process(redis, 2):
        async with asyncio.timeout(PATIENCE_S):
            while (await redis.info("clients"))["blocked_clients"] < 2:  # noqa: ASYNC110 - until both have begun to listen
                await asyncio.sleep(0.01)
        before = (await redis.info("stats"))["total_commands_processed"]
        await asyncio.sleep(0.3)
        after = (await redis.info("stats"))["total_commands_processed"]

    assert after - before == 1  # this question itself


async def test_a_single_process_receives_no_changes() -> None:
    changes, inbox = MemoryChanges(), Inbox()
    task = asyncio.create_task(changes.run(inbox.listen))

    await changes.announce(BotChanged(1))
    await asyncio.sleep(0)

    assert (inbox.received, task.done()) == ([], False)
    task.cancel()


@asynccontextmanager
async def process(
    redis: Redis,
    number: int,
    conditions: Conditions | None = None,
    *,
    heartbeat_s: float = NO_HEARTBEAT_S,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[tuple[RedisChanges, Inbox]]:
    changes = RedisChanges(
        redis, process=number, conditions=conditions or Conditions(lambda: 0), heartbeat_s=heartbeat_s, sleep=sleep
    )
    await changes.begin()
    async with listening(changes) as inbox:
        yield changes, inbox


@asynccontextmanager
async def listening(changes: RedisChanges) -> AsyncIterator[Inbox]:
    inbox = Inbox()
    task = asyncio.create_task(changes.run(inbox.listen))
    try:
        yield inbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def add_foreign(redis: Redis, count: int) -> None:
    """Announce so many changes as another process, trimming as each of these does."""
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.xadd(NEWS, {BY: b"00000009", ITEM: b"\x92\xa3bot" + bytes([number % 100])}, maxlen=LENGTH)
        await pipe.execute()


async def until(condition: Callable[[], bool], seen: object) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"there was only {seen}")
