"""A client of Redis for the queue, and what its errors are called above it."""

from __future__ import annotations

from types import TracebackType

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from tempogram.engine.model.errors import BrokerFull, BrokerRefused, BrokerUnavailable, SettingsError

REPLY_S = 5.0
"""How long an answer may take before Redis counts as away.

untuned: a script takes milliseconds, and an outage lasts longer than either."""

NO_SUCH_DATABASE = "DB index is out of range"

UNREADABLE = (
    "REDIS_URL makes no sense: write redis://:password@host:port/database, and in the password %2F for /, "
    "%23 for # and %3F for ?"
)


def connect(url: str, *, socket_timeout: float | None = None) -> Redis:
    """Return a client that tries nothing twice: a call whose answer was lost may have been carried out.

    By itself it has no time limit either, because a sleeping worker waits for long.

    Raises:
        SettingsError: The address makes no sense. It is not quoted, as it may hold a password.
    """
    retry = Retry(NoBackoff(), 0)
    try:
        redis = Redis.from_url(url, retry=retry, socket_connect_timeout=REPLY_S, socket_timeout=socket_timeout)
        # It connects nowhere yet, and refuses options that it does not know.
        redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise SettingsError(UNREADABLE) from None
    return redis


class DriverErrors:
    """Ends the driver's exceptions, but for the one that names a script Redis does not have."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        match error:
            case None | NoScriptError():
                return
            case OutOfMemoryError():
                raise BrokerFull("Redis has reached its maxmemory; give it more, or let the queue drain") from error
            case AuthenticationError() | AuthorizationError() | NoPermissionError():
                raise BrokerRefused(f"Redis refused: {error}") from error
            case ResponseError() if str(error).startswith(NO_SUCH_DATABASE):
                raise BrokerRefused(f"Redis refused: {error}") from error
            case RedisError() | OSError() | TimeoutError():
                reason = str(error) or type(error).__name__
                raise BrokerUnavailable(f"Redis cannot be reached, or refused: {reason}") from error


DRIVER_ERRORS = DriverErrors()
