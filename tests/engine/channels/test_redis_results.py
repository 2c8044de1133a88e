"""Results reach the caller that waits, in the same process or in another; each channel object plays a process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis import keys
from tempogram.engine.channels import results_codec
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.redis_results import BATCH_MAX, BYTES_MAX, LATE_S, WAITING_MAX, RedisResults
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Rest, Status
from tempogram.engine.model.outcomes import (
    Failed,
    HalfSent,
    Lost,
    Migrated,
    Outcome,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
    Unquoted,
)
from tempogram.engine.ports import Progress, Result, Results
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.redis_server import connected, own_redis, port_of
from tests.fakes import START_MS

PATIENCE_S = 60.0
"""Long enough for a machine that does much else; a test ends as soon as what it waits for holds."""

NO_HEARTBEAT_S = 600.0
"""Longer than that, so that no heartbeat finds what is to be found without one."""

HERE, THERE = 7, 8
OUTCOMES: list[Outcome | None] = [
    None,
    Sent(5, b'{"ok":true}', -100),
    Throttled(3_000),
    Rejected(403, "Forbidden: bot was blocked by the user", unreachable=True),
    HalfSent(2, Rest("sendPhoto", b"\xff", 1), Rejected(400, "Bad Request")),
    HalfSent(2, Rest("sendPhoto", b"{}", 1), Throttled(1_000)),
    Migrated(-1_001),
    Revoked("Unauthorized"),
    Failed("Bad Gateway", 502),
    Uncertain("no answer"),
    Lost(3),
    Overdue(),
    Unquoted(Rest("sendMessage", b"{}", 1), "Bad Request: message to be replied not found"),
]


class ResultsContract:
    """What holds wherever the result comes from: ``sender`` publishes, callers of ``receiver`` wait."""

    @pytest.fixture
    def sender(self, receiver: Results) -> Results:
        return receiver

    async def test_every_waiting_caller_gets_the_result(self, receiver: Results, sender: Results) -> None:
        result = made(Sent(5, b"{}"))
        futures = [receiver.expect(result.message_id), receiver.expect(result.message_id)]

        await sender.publish(result)

        assert await received(*futures) == [result, result]

    async def test_a_caller_that_waits_no_more_gets_nothing(self, receiver: Results, sender: Results) -> None:
        result = made(Sent(5))
        gone, here = receiver.expect(result.message_id), receiver.expect(result.message_id)
        receiver.forget(result.message_id, gone)

        await sender.publish(result)

        assert await received(here) == [result]
        assert not gone.done()

    async def test_a_cancelled_caller_keeps_no_other_from_its_result(self, receiver: Results, sender: Results) -> None:
        result = made(Sent(5))
        gone, here = receiver.expect(result.message_id), receiver.expect(result.message_id)
        gone.cancel()

        await sender.publish(result)

        assert await received(here) == [result]

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda each: type(each).__name__)
    async def test_a_result_arrives_as_it_was_published(
        self, receiver: Results, sender: Results, outcome: Outcome | None
    ) -> None:
        result = Result(IDS.new(START_MS), Status.CANCELLED, outcome, replaced_by="another")
        future = receiver.expect(result.message_id)

        await sender.publish(result)

        assert await received(future) == [result]

    async def test_a_caller_learns_that_its_call_takes_long_and_that_it_waits_again(
        self, receiver: Results, sender: Results
    ) -> None:
        result, seen = made(Sent(5)), asyncio.Queue[Progress]()
        future = receiver.expect(result.message_id, seen.put_nowait)

        sender.call_begins(result.message_id)
        calling = await within(seen.get())
        sender.waits_again(result.message_id)
        waiting = await within(seen.get())
        sender.call_begins(result.message_id)
        calling_again = await within(seen.get())
        await sender.publish(result)

        assert [each.is_calling for each in (calling, waiting, calling_again)] == [True, False, True]
        assert 0 <= calling.age_ms <= 1_000 * LATE_S
        assert await received(future) == [result]

    async def test_how_far_a_call_is_concerns_no_other_caller(self, receiver: Results, sender: Results) -> None:
        mine, other, seen = made(Sent(5)), made(Sent(6)), asyncio.Queue[Progress]()
        futures = [receiver.expect(mine.message_id, seen.put_nowait), receiver.expect(mine.message_id)]
        gone = receiver.expect(mine.message_id, seen.put_nowait)
        receiver.forget(mine.message_id, gone)

        for message_id in (other.message_id, mine.message_id):
            sender.call_begins(message_id)
        first = await within(seen.get())
        await sender.publish(mine)
        await received(*futures)

        assert first.message_id == mine.message_id
        assert seen.empty()

    async def test_many_results_at_once_all_arrive(self, receiver: Results, sender: Results) -> None:
        results = [made(Sent(number)) for number in range(1_000)]
        futures = [receiver.expect(result.message_id) for result in results]

        await asyncio.gather(*(sender.publish(result) for result in results))

        assert await received(*futures) == results


class TestMemoryResults(ResultsContract):
    @pytest.fixture
    def receiver(self) -> Results:
        return MemoryResults()


@pytest.fixture
async def here(redis: Redis) -> AsyncIterator[Results]:
    async with running(redis, HERE) as results:
        yield results


class TestRedisResultsOfOneProcess(ResultsContract):
    @pytest.fixture
    def receiver(self, here: Results) -> Results:
        return here


class TestRedisResultsOfTwoProcesses(ResultsContract):
    @pytest.fixture
    def receiver(self, here: Results) -> Results:
        return here

    @pytest.fixture
    async def sender(self, redis: Redis) -> AsyncIterator[Results]:
        async with running(redis, THERE) as results:
            yield results


# What only two processes have


async def test_another_process_hears_nothing_of_calls_that_end_soon(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempogram.engine.channels.redis_results.LATE_S", PATIENCE_S)
    async with running(redis, HERE) as here, running(redis, THERE) as there:
        result, seen = made(Sent(5)), list[Progress]()
        future = here.expect(result.message_id, seen.append)

        there.call_begins(result.message_id)
        there.waits_again(result.message_id)
        there.call_begins(result.message_id)
        await there.publish(result)

        assert await received(future) == [result]
        assert seen == []
        assert (there._calls, there._announced) == ({}, set())


async def test_results_published_while_a_batch_is_on_its_way_go_together(redis: Redis) -> None:
    sender = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))
    before = await pipelines(redis)

    for _ in range(2 * BATCH_MAX):
        await sender.publish(made(Sent(1)))
    await sender.flush()

    after = await pipelines(redis)
    assert after["publish"] - before.get("publish", 0) == 2 * BATCH_MAX
    assert after["reads"] - before["reads"] <= 6


async def test_a_result_of_another_format_is_skipped(redis: Redis) -> None:
    result = made(Sent(5))
    row = results_codec.pack(result)
    async with running(redis, HERE) as receiver:
        future = receiver.expect(result.message_id)
        with capture_logs() as logs:
            for odd in (b"", b"nonsense", row[:-1], row.replace(b"sent", b"sank"), b"\x94\xa1a\xa4sank\xc0\xc0"):
                await redis.publish(keys.results("00000007"), odd)
            await redis.publish(keys.results("00000007"), row)
            assert await received(future) == [result]

    assert [each["event"] for each in logs].count("result_not_understood") == 5


async def test_a_result_that_is_too_large_is_not_sent_and_the_others_are(redis: Redis) -> None:
    large, small = made(Sent(1, bytes(BYTES_MAX))), made(Sent(2))
    async with running(redis, HERE) as receiver:
        first, second = receiver.expect(large.message_id), receiver.expect(small.message_id)
        sender = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))

        await sender.publish(large)
        await sender.publish(small)

        assert await received(second) == [small]
        assert not first.done()


async def test_publishing_neither_fails_nor_waits_while_redis_is_away() -> None:
    conditions = Conditions(lambda: 0)
    async with connected("redis://127.0.0.1:1/0") as redis:
        sender = RedisResults(redis, process=THERE, conditions=conditions)
        with capture_logs() as logs:
            for _ in range(WAITING_MAX + 1):
                await sender.publish(made(Sent(1)))
            await sender.flush()
            await sender.publish(made(Sent(1)))
            await sender.flush()

    assert conditions.current == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began"]


async def test_a_redis_that_is_back_is_noticed_without_another_result(redis: Redis) -> None:
    conditions = Conditions(lambda: 0)
    async with running(redis, THERE, conditions=conditions) as sender:
        with capture_logs() as logs:
            for _ in range(WAITING_MAX + 1):
                await sender.publish(made(Sent(1)))
            missed = conditions.current
            await until(lambda: not conditions.current)

    assert missed == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_results_arrive_again_once_redis_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connected(url))
            receiver = await stack.enter_async_context(running(redis, HERE))
            sender = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))
            lost, later = made(Sent(1)), made(Sent(2))
            first, second = receiver.expect(lost.message_id), receiver.expect(later.message_id)
        await sender.publish(lost)
        await sender.flush()
        await until(lambda: not receiver.listening.is_set())
        with own_redis(tmp_path, port=port_of(url)):
            await asyncio.wait_for(receiver.listening.wait(), PATIENCE_S)
            await sender.publish(later)

            assert await received(second) == [later]
            assert not first.done()


async def test_a_frozen_redis_is_noticed_and_listened_to_again(tmp_path: Path) -> None:
    with own_redis(tmp_path) as url:
        async with connected(url) as redis:
            process_id = (await redis.info("server"))["process_id"]
            async with running(redis, HERE, heartbeat_s=0.1) as receiver:
                os.kill(process_id, signal.SIGSTOP)
                try:
                    with capture_logs() as logs:
                        await until(lambda: not receiver.listening.is_set())
                finally:
                    os.kill(process_id, signal.SIGCONT)
                await asyncio.wait_for(receiver.listening.wait(), PATIENCE_S)
                result = made(Sent(1))
                future = receiver.expect(result.message_id)
                await RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0)).publish(result)

                assert await received(future) == [result]
                assert [each["event"] for each in logs] == ["condition_began"]


async def test_a_silent_channel_pings_redis_at_each_heartbeat_and_goes_on(redis: Redis) -> None:
    async with running(redis, HERE, heartbeat_s=0.02) as receiver:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (await pipelines(redis)).get("ping", 0) >= 3:
                    break
                await asyncio.sleep(0.01)

        assert receiver.listening.is_set()


IDS = Ids(process=HERE)


def made(outcome: Outcome) -> Result:
    return Result(IDS.new(START_MS), Status.SENT, outcome)


async def within(progress: Awaitable[Progress]) -> Progress:
    async with asyncio.timeout(PATIENCE_S):
        return await progress


async def received(*futures: asyncio.Future[Result]) -> list[Result]:
    async with asyncio.timeout(PATIENCE_S):
        return [await future for future in futures]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    redis: Redis, process: int, heartbeat_s: float = NO_HEARTBEAT_S, conditions: Conditions | None = None
) -> AsyncIterator[RedisResults]:
    results = RedisResults(
        redis, process=process, conditions=conditions or Conditions(lambda: 0), heartbeat_s=heartbeat_s
    )
    task = asyncio.create_task(results.run())
    try:
        await asyncio.wait_for(results.listening.wait(), PATIENCE_S)
        yield results
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def pipelines(redis: Redis) -> dict[str, int]:
    """Return how often each command was called, and how many reads of sockets it took."""
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in (await redis.info("commandstats")).items()}
    return calls | {"reads": (await redis.info("stats"))["total_reads_processed"]}
