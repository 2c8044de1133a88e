"""The Redis broker without an event loop: the state machine drives its brokers step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import Redis

from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker
from tempogram.engine.ports import Clock as Ticks


class Blocking:
    """A broker each of whose verbs ends before anything else runs."""

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._loop = loop

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def at_once(*arguments: Any, **named: Any) -> Any:
            return self._loop.run_until_complete(getattr(self._broker, verb)(*arguments, **named))

        return at_once


@contextmanager
def on_redis(url: str, *, lease_ms: int) -> Iterator[Callable[[Limits, Ticks], Broker]]:
    """Yield what makes brokers, each in a Redis that was emptied for it."""
    loop = asyncio.new_event_loop()
    client = connect(url)

    def make(limits: Limits, clock: Ticks) -> Broker:
        with Redis.from_url(url) as redis:
            redis.flushall()
        broker = RedisBroker(client, limits, lease_ms=lease_ms, clock=clock, incarnation=1, begins=True)
        return cast("Broker", Blocking(broker, loop))

    try:
        yield make
    finally:
        loop.run_until_complete(client.aclose())
        loop.close()
