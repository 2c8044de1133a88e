"""How one direction of a Redis channel goes through an outage: a condition, and pauses that grow."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.engine.resilience.retry import Sleep

AWAY = (RedisError, OSError, TimeoutError)
"""What is raised when Redis cannot be reached, does not answer, or refuses."""

OF_REDIS = frozenset({Condition.REDIS_AWAY, Condition.REDIS_FULL})

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""Between two tries to come back. untuned: a server that starts is found within a moment, and one that is away is not
asked often."""


async def hang_up(redis: Redis) -> None:
    """Close the connections that are not in use: after an outage each would fail once more."""
    await redis.connection_pool.disconnect(inuse_connections=False)


class Reconnect:
    """What sending, or receiving, sees of an outage. ``begin`` it only if you keep retrying, and will ``end`` it.

    Args:
        what: What is missing meanwhile; ``Conditions`` tells those that see an outage apart by it.
    """

    def __init__(self, what: str, conditions: Conditions, *, sleep: Sleep = asyncio.sleep) -> None:
        self._what = what
        self._conditions = conditions
        self._sleep = sleep
        self._pause_s = PAUSE_S_MIN

    def begin(self, reason: BaseException | str) -> None:
        """Note that it holds from now on; nothing happens if it does already."""
        condition = Condition.REDIS_FULL if isinstance(reason, OutOfMemoryError) else Condition.REDIS_AWAY
        text = f"no {self._what}: {str(reason) or type(reason).__name__}"
        self._conditions.begin(condition, text, seen_by=self._what)
        for other in OF_REDIS - {condition}:
            self._conditions.end(other, seen_by=self._what)

    def end(self) -> None:
        """Note that it is over; nothing happens if it is already."""
        self._pause_s = PAUSE_S_MIN
        for condition in OF_REDIS:
            self._conditions.end(condition, seen_by=self._what)

    async def pause(self) -> None:
        """Wait before the next try, longer each time."""
        await self._sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)
