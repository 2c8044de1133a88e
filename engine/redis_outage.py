"""While Redis is away, for those who only tell others: they go on without it, and come back by themselves."""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.insist import Sleep

log = structlog.get_logger()

AWAY = (RedisError, OSError, TimeoutError)
"""What tells that Redis cannot be reached, does not answer, or refuses."""

REPLY_S = 2.0
"""How long an answer may take. News that came later would be late anyway."""

HEARTBEAT_S = 30.0
"""How long a listener hears nothing before he asks whether Redis is still there. A guess."""

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
"""Between two tries to come back. Guesses."""


async def hang_up(redis: Redis) -> None:
    """Close the connections that nobody uses just now: after an outage each would fail once more."""
    await redis.connection_pool.disconnect(inuse_connections=False)


class Outage:
    """One line in the log when it begins, and one when it ends."""

    def __init__(self, what: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._what = what
        self._sleep = sleep
        self._is_on = False
        self._pause_s = PAUSE_S_MIN

    def begin(self, reason: BaseException | str) -> None:
        """Note that it holds from now on; nothing happens if it does already."""
        if not self._is_on:
            self._is_on = True
            log.warning("redis is away", what=self._what, reason=str(reason) or type(reason).__name__)

    def end(self) -> None:
        """Note that it is over; nothing happens if it is already."""
        self._pause_s = PAUSE_S_MIN
        if self._is_on:
            self._is_on = False
            log.warning("redis is back", what=self._what)

    async def pause(self) -> None:
        """Wait before the next try, longer each time."""
        await self._sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)
