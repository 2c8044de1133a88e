"""Answers find whoever waits, in the same process or in another; two of them play two processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis import keys
from tempogram.engine.brokers.redis.broker import connect
from tempogram.engine.channels import results_codec
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.redis_results import BATCH_MAX, BYTES_MAX, WAITING_MAX, RedisResults
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
)
from tempogram.engine.ports import Result, Results
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.redis_server import own_redis, port_of
from tests.fakes import START_MS

WITHIN_S = 5.0
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
]


class ResultsContract:
    """What holds wherever the answer comes from: ``waiting`` waits, ``telling`` tells."""

    @pytest.fixture
    def telling(self, waiting: Results) -> Results:
        return waiting

    async def test_who_waits_is_told(self, waiting: Results, telling: Results) -> None:
        result = made(Sent(5, b"{}"))
        futures = [waiting.expect(result.message_id), waiting.expect(result.message_id)]

        await telling.publish(result)

        assert await told(*futures) == [result, result]

    async def test_who_does_not_wait_any_more_is_not_told(self, waiting: Results, telling: Results) -> None:
        result = made(Sent(5))
        gone, here = waiting.expect(result.message_id), waiting.expect(result.message_id)
        waiting.forget(result.message_id, gone)

        await telling.publish(result)

        assert await told(here) == [result]
        assert not gone.done()

    async def test_who_was_cancelled_keeps_nobody_from_being_told(self, waiting: Results, telling: Results) -> None:
        result = made(Sent(5))
        gone, here = waiting.expect(result.message_id), waiting.expect(result.message_id)
        gone.cancel()

        await telling.publish(result)

        assert await told(here) == [result]

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda each: type(each).__name__)
    async def test_an_answer_arrives_as_it_was_given(
        self, waiting: Results, telling: Results, outcome: Outcome | None
    ) -> None:
        result = Result(IDS.new(START_MS), Status.CANCELLED, outcome, replaced_by="another")
        future = waiting.expect(result.message_id)

        await telling.publish(result)

        assert await told(future) == [result]

    async def test_many_at_once_all_arrive(self, waiting: Results, telling: Results) -> None:
        results = [made(Sent(number)) for number in range(1_000)]
        futures = [waiting.expect(result.message_id) for result in results]

        await asyncio.gather(*(telling.publish(result) for result in results))

        assert await told(*futures) == results


class TestMemoryResults(ResultsContract):
    @pytest.fixture
    def waiting(self) -> Results:
        return MemoryResults()


@pytest.fixture
async def here(redis: Redis) -> AsyncIterator[Results]:
    async with running(redis, HERE) as results:
        yield results


class TestRedisResultsOfOneProcess(ResultsContract):
    @pytest.fixture
    def waiting(self, here: Results) -> Results:
        return here


class TestRedisResultsOfTwoProcesses(ResultsContract):
    @pytest.fixture
    def waiting(self, here: Results) -> Results:
        return here

    @pytest.fixture
    async def telling(self, redis: Redis) -> AsyncIterator[Results]:
        async with running(redis, THERE) as results:
            yield results


# What only two processes have


async def test_answers_that_come_while_some_are_on_their_way_go_together(redis: Redis) -> None:
    telling = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))
    before = await pipelines(redis)

    for _ in range(2 * BATCH_MAX):
        await telling.publish(made(Sent(1)))
    await telling.sent()

    after = await pipelines(redis)
    assert after["publish"] - before.get("publish", 0) == 2 * BATCH_MAX
    assert after["reads"] - before["reads"] <= 6


async def test_what_no_version_like_ours_wrote_is_left_alone(redis: Redis) -> None:
    result = made(Sent(5))
    row = results_codec.pack(result)
    async with running(redis, HERE) as waiting:
        future = waiting.expect(result.message_id)
        with capture_logs() as logs:
            for odd in (b"", b"nonsense", row[:-1], row.replace(b"sent", b"sank"), b"\x94\xa1a\xa4sank\xc0\xc0"):
                await redis.publish(keys.results("00000007"), odd)
            await redis.publish(keys.results("00000007"), row)
            assert await told(future) == [result]

    assert [each["event"] for each in logs].count(
        "answer not understood; does another version run beside this one?"
    ) == 5


async def test_an_answer_that_is_too_large_is_not_told_and_the_others_are(redis: Redis) -> None:
    large, small = made(Sent(1, bytes(BYTES_MAX))), made(Sent(2))
    async with running(redis, HERE) as waiting:
        first, second = waiting.expect(large.message_id), waiting.expect(small.message_id)
        telling = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))

        await telling.publish(large)
        await telling.publish(small)

        assert await told(second) == [small]
        assert not first.done()


async def test_a_redis_that_is_away_neither_fails_nor_holds_up_who_publishes() -> None:
    conditions = Conditions(lambda: 0)
    async with connect("redis://127.0.0.1:1/0") as nobody:
        telling = RedisResults(nobody, process=THERE, conditions=conditions)
        with capture_logs() as logs:
            for _ in range(WAITING_MAX + 1):
                await telling.publish(made(Sent(1)))
            await telling.sent()
            await telling.publish(made(Sent(1)))
            await telling.sent()

    assert conditions.current == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began"]


async def test_that_redis_is_back_is_noted_though_there_is_never_another_answer_to_tell(redis: Redis) -> None:
    conditions = Conditions(lambda: 0)
    async with running(redis, THERE, conditions=conditions) as telling:
        with capture_logs() as logs:
            for _ in range(WAITING_MAX + 1):
                await telling.publish(made(Sent(1)))
            missed = conditions.current
            await until(lambda: not conditions.current)

    assert missed == [Condition.REDIS_AWAY]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_whoever_waits_is_told_again_once_redis_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with own_redis(tmp_path) as url:
            redis = await stack.enter_async_context(connect(url))
            waiting = await stack.enter_async_context(running(redis, HERE))
            telling = RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0))
            lost, later = made(Sent(1)), made(Sent(2))
            first, second = waiting.expect(lost.message_id), waiting.expect(later.message_id)
        await telling.publish(lost)
        await telling.sent()
        await until(lambda: not waiting.listening.is_set())
        with own_redis(tmp_path, port=port_of(url)):
            await asyncio.wait_for(waiting.listening.wait(), WITHIN_S)
            await telling.publish(later)

            assert await told(second) == [later]
            assert not first.done()


async def test_a_redis_that_froze_is_found_out_and_heard_again(tmp_path: Path) -> None:
    with own_redis(tmp_path) as url:
        async with connect(url) as redis:
            process_id = (await redis.info("server"))["process_id"]
            async with running(redis, HERE, heartbeat_s=0.1) as waiting:
                os.kill(process_id, signal.SIGSTOP)
                try:
                    with capture_logs() as logs:
                        await until(lambda: not waiting.listening.is_set())
                finally:
                    os.kill(process_id, signal.SIGCONT)
                await asyncio.wait_for(waiting.listening.wait(), WITHIN_S)
                result = made(Sent(1))
                future = waiting.expect(result.message_id)
                await RedisResults(redis, process=THERE, conditions=Conditions(lambda: 0)).publish(result)

                assert await told(future) == [result]
                assert [each["event"] for each in logs] == ["condition_began"]


async def test_who_hears_nothing_asks_after_each_heartbeat_and_goes_on(redis: Redis) -> None:
    async with running(redis, HERE, heartbeat_s=0.02) as waiting:
        async with asyncio.timeout(WITHIN_S):
            while True:
                if (await pipelines(redis)).get("ping", 0) >= 3:
                    break
                await asyncio.sleep(0.01)

        assert waiting.listening.is_set()


IDS = Ids(process=HERE)


def made(outcome: Outcome) -> Result:
    return Result(IDS.new(START_MS), Status.SENT, outcome)


async def told(*futures: asyncio.Future[Result]) -> list[Result]:
    async with asyncio.timeout(WITHIN_S):
        return [await future for future in futures]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    redis: Redis, process: int, heartbeat_s: float = 30, conditions: Conditions | None = None
) -> AsyncIterator[RedisResults]:
    results = RedisResults(
        redis, process=process, conditions=conditions or Conditions(lambda: 0), heartbeat_s=heartbeat_s
    )
    task = asyncio.create_task(results.run())
    try:
        await asyncio.wait_for(results.listening.wait(), WITHIN_S)
        yield results
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def pipelines(redis: Redis) -> dict[str, int]:
    """Return how often each command was called, and how many reads of sockets it took."""
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in (await redis.info("commandstats")).items()}
    return calls | {"reads": (await redis.info("stats"))["total_reads_processed"]}
