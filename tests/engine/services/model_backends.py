"""The queue of one process and that of many, without an event loop: the state machine drives them step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from redis import Redis

from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.redis.queue import limiter_words
from tempogram.engine.services.redis.scripts import LEASE_MS
from tests.engine.services.machine import Backend, Process
from tests.engine.services.redis.test_queue import InRedis
from tests.engine.services.test_memory_queue import InMemory
from tests.fakes import Clock

T = TypeVar("T")
Run = Callable[[Awaitable[T]], T]


class OneProcess:
    """See ``Process``; on either queue."""

    def __init__(self, queue: InMemory | InRedis, run: Callable[[Awaitable[list[str]]], list[str]]) -> None:
        self._queue = queue
        self._run = run

    def ask(self, call: Call) -> list[str]:
        return self._run(self._queue.ask(call))

    def end(self, call: Call, used: Sequence[int] | None) -> list[str]:
        return self._run(self._queue.end(call, used))

    def hold(self, limiter: Limiter, until_ms: int) -> list[str]:
        return self._run(self._queue.hold(limiter, until_ms))

    def believe(self, limiter: Limiter, left: int, until_ms: int, of: int | None) -> list[str]:
        return self._run(self._queue.believe(limiter, left=left, until_ms=until_ms, of=of))

    def fails(self, limiter: Limiter, until_ms: int, probes: int) -> list[str]:
        assert isinstance(self._queue, InRedis)
        return self._run(self._queue.tell("fails", limiter_words(limiter), until_ms, probes))

    def well(self, limiter: Limiter) -> list[str]:
        assert isinstance(self._queue, InRedis)
        return self._run(self._queue.tell("well", limiter_words(limiter)))

    def look(self) -> list[str]:
        return self._run(self._queue.look())


class Memory:
    """See ``Backend``."""

    lease_ms = 0

    def process(self, clock: Clock, _name: str) -> Process:
        return OneProcess(InMemory(clock), at_once)

    def empty(self) -> None:
        raise AssertionError("a process cannot be emptied")


def at_once(verb: Awaitable[T]) -> T:
    """Run what never waits."""
    try:
        verb.__await__().__next__()
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("it waits")


@contextmanager
def on_redis(url: str) -> Iterator[Callable[[], Backend]]:
    """Yield what empties a Redis and makes processes that meet in it."""
    loop, client = asyncio.new_event_loop(), connect(url)

    class InOneRedis:
        """See ``Backend``."""

        lease_ms = LEASE_MS

        def __init__(self) -> None:
            self.empty()

        def process(self, clock: Clock, name: str) -> Process:
            return OneProcess(InRedis(client, clock, name), loop.run_until_complete)

        def empty(self) -> None:
            with Redis.from_url(url) as redis:
                redis.flushall()

    try:
        yield InOneRedis
    finally:
        loop.run_until_complete(client.aclose())
        loop.close()
