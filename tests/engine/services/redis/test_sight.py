from __future__ import annotations

from redis.asyncio import Redis

from tempogram.engine.services.redis.queue import RedisCallQueue, ask, limiter_words
from tempogram.engine.services.redis.sight import AGREED, Sight
from tempogram.engine.services.state import STARTING
from tests.engine.services.queue_contract import call, limiter
from tests.fakes import Clock

SMS = limiter("twilio:sms", count=1, window_ms=3_000, concurrency=1)


async def written(redis: Redis) -> dict[bytes, bytes | None]:
    return {key: await redis.dump(key) async for key in redis.scan_iter()}


async def test_a_look_writes_nothing(redis: Redis, clock: Clock) -> None:
    queue, sight = RedisCallQueue(redis, "p1", clock=clock), Sight(redis, clock=clock, keeps_uses=False)
    await queue.say([ask(call("a", SMS)), ask(call("b", SMS))])
    clock.advance(60_000)
    before = await written(redis)

    newer = limiter("twilio:sms", count=9, window_ms=3_000)
    await sight.states([SMS, newer, limiter("twilio:voice", count=1, window_ms=1_000)])
    await sight.line("twilio", 100)

    assert await written(redis) == before


async def test_an_empty_redis_shows_that_nothing_begins_before_a_window_is_over(redis: Redis, clock: Clock) -> None:
    (state,) = await Sight(redis, clock=clock, keeps_uses=False).states([SMS])

    assert (state.held_until_ms, state.held_by) == (clock() + 3_000, STARTING)
    assert await written(redis) == {}


async def test_an_operation_that_processes_find_failing_is_shown_as_held(redis: Redis, clock: Clock) -> None:
    for name in ("p1", "p2"):
        queue = RedisCallQueue(redis, name, clock=clock)
        await queue.say([["fails", limiter_words(SMS), clock() + 60_000, 1]])

    (state,) = await Sight(redis, clock=clock, keeps_uses=False).states([SMS])

    assert (state.held_until_ms, state.held_by) == (clock() + 60_000, AGREED)
