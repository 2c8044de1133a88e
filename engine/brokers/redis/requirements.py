"""What a Redis server must be like to hold the queue, asked without changing anything."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tempogram.engine.brokers.redis.connection import REPLY_S, connect
from tempogram.engine.model.errors import BrokerUnavailable

OLDEST = (6, 2)
"""The first version whose commands the scripts use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a server says of itself. ``eviction`` and ``keeps_log`` are None where it does not tell (a hosted one)."""

    version: str
    is_old: bool
    eviction: str | None
    keeps_log: bool | None


async def survey(url: str) -> Requirements:
    """Ask a server.

    Raises:
        SettingsError: The address makes no sense.
        BrokerUnavailable: It cannot be reached, or refused; the sentence says why.
    """
    redis = connect(url, socket_timeout=REPLY_S)
    try:
        version = str((await redis.info("server"))["redis_version"])
        eviction, appends = await _setting(redis, "maxmemory-policy"), await _setting(redis, "appendonly")
    except (RedisError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(str(error) or type(error).__name__) from None
    finally:
        await redis.aclose()
    return Requirements(
        version=version,
        is_old=is_old(version),
        eviction=eviction,
        keeps_log=None if appends is None else appends == "yes",
    )


def is_old(version: str) -> bool:
    """Tell whether a server lacks commands that the scripts use.

    >>> is_old("6.0.16"), is_old("6.2.0"), is_old("7.4.1")
    (True, False, False)
    """
    return tuple(int(part) for part in version.split(".")[:2]) < OLDEST


async def _setting(redis: Redis, name: str) -> str | None:
    try:
        return (await redis.config_get(name)).get(name)
    except ResponseError:  # hosted servers hide their settings
        return None
