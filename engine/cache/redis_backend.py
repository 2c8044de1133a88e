"""Entries of all processes: cashews' backend of Redis, with a number of bytes as its bound, shared out by group.

Every key, for a look with ``redis-cli``:

    tempogram:cache:{c0}:entry:<group>:<key>   an answer, as JSON; expires                             string
    tempogram:cache:{c0}:lock:<group>:<key>    the process that computes it; expires                   string
    tempogram:cache:{c0}:failed:<group>:<key>  it was computed in vain just now; expires               string
    tempogram:cache:{c0}:entry:tags:<tag>      another value whenever what has the tag is forgotten    string
    tempogram:cache:{c0}:generation            another value whenever all entries are                  string
    tempogram:cache:{c0}:kept:<group>          the group's keys, by when they expire                   zset, ms
    tempogram:cache:{c0}:sizes:<group>         their bytes                                             hash
    tempogram:cache:{c0}:totals                bytes of each group                                     hash
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cashews.backends.redis import Redis
from cashews.serialize import Serializer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.sizes import NAME_BYTES

PREFIX = "tempogram:cache:{c0}:"
"""One slot of a cluster; 0 is the version of what stands there."""

REPLY_S = 1.0
"""How long an answer of Redis may take: what is waited for longer had better be computed."""

CONNECTIONS_MAX = 20

DROP_MAX = 50
"""Entries that are dropped for one that is kept, as every other command waits for it."""

KEEP = (Path(__file__).parent / "lua" / "keep.lua").read_text(encoding="utf-8")


class RedisBackend(Redis):
    """See ``Redis``; its errors are ``CacheBackendInteractionError``."""

    is_shared = True

    def __init__(self, url: str, bytes_max: int) -> None:
        super().__init__(
            url,
            suppress=False,
            serializer=Verbatim(),  # type: ignore[no-untyped-call]
            client_name="tempogram-cache",
            max_connections=CONNECTIONS_MAX,
            wait_for_connection_timeout=REPLY_S,
            socket_timeout=REPLY_S,
            socket_connect_timeout=REPLY_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._bytes_max = bytes_max

    async def close(self) -> None:
        """See ``Redis``, whose way is deprecated."""
        await self._client.aclose()
        await self._client.connection_pool.aclose()  # type: ignore[union-attr]

    async def keep(self, path: str, name: EntryName, value: bytes, for_ms: int) -> list[str]:
        """Keep an entry. Returns the groups from which others were dropped for it."""
        script = self._client.register_script(KEEP)
        keys = path, f"{PREFIX}kept:{name.group}", f"{PREFIX}sizes:{name.group}", f"{PREFIX}totals"
        words = value, for_ms, name.key, name.group, NAME_BYTES, self._bytes_max, PREFIX, DROP_MAX
        return [group.decode() for group in await script(keys=keys, args=words)]


class Verbatim(Serializer):
    """What is kept is text already; nothing is pickled, and nothing of a pickle is read."""

    async def encode(self, backend: Any, key: str, value: Any, expire: float | None) -> Any:  # noqa: ARG002
        return value

    async def decode(self, backend: Any, key: str, value: Any, default: Any) -> Any:  # noqa: ARG002
        return value
