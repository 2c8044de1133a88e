"""The changes channel of many processes: one stream in one Redis, which each reads from its own position on.

A position is the id of the last entry that was read. As long as that entry stands in the stream before what comes next,
nothing was missed. It does not if the stream was trimmed beyond it, emptied, or came back from an older file; then, or
if Redis was away or started anew, the listener gets ``Missed``, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.keys import NEWS
from tempogram.engine.channels.reconnect import AWAY
from tempogram.engine.channels.redis_channel import HEARTBEAT_S, RedisChannel
from tempogram.engine.model.ids import number_of
from tempogram.engine.ports.changes import (
    AccessChanged,
    BotChanged,
    Change,
    ChatChanged,
    Listener,
    Missed,
    ServiceChanged,
)
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

LENGTH = 10_000
"""Entries that the stream keeps, or some more. untuned: a process that is further behind reads everything again."""

BATCH_MAX = 100
"""Entries that are written, or read, at once."""

WAITING_MAX = 1_000
"""Changes that may wait for Redis; after more, the other processes read everything again."""

BY, ITEM = b"by", b"item"
"""The fields of an entry. One without an item only keeps its writer's position."""

Entry = tuple[bytes, Mapping[bytes, bytes]]


class RedisChanges(RedisChannel[Change]):
    """See ``Changes``, and ``RedisChannel``.

    Args:
        process: The number in the ids that this process makes.
        when_away: Called whenever Redis is missed: an idle process would not notice otherwise.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        process: int,
        conditions: Conditions,
        when_away: Callable[[], None] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(
            redis,
            name="changes",
            conditions=conditions,
            batch_max=BATCH_MAX,
            waiting_max=WAITING_MAX,
            heartbeat_s=heartbeat_s,
            sleep=sleep,
        )
        self._process = number_of(process).encode()
        self._when_away = when_away
        self._position, self._run_id = b"", ""
        self._has_position = False

    async def begin(self) -> None:
        """Receive what comes from now on, once ``run`` is called; call it before the database is read.

        Never raises: without it, or if Redis is away, ``run`` begins with ``Missed``.
        """
        try:
            await self._take_position()
        except AWAY as error:
            self._receiving.begin(error)

    async def announce(self, item: Change) -> None:
        """See ``Changes``. It is sent behind the caller's back."""
        if not self._batcher.put(item):
            self._unsent.set()

    async def run(self, listener: Listener) -> None:
        """See ``Changes``. Also makes up for what could not be sent."""
        await self._run(self._listen(listener))

    # To the others

    async def _send(self, items: Sequence[Change]) -> None:
        if not self._unsent.is_set():  # else they read everything again, later than now
            await self._add(items)

    async def _make_up(self) -> None:
        await self._add([Missed()])

    async def _add(self, items: Sequence[Change]) -> None:
        async with self._in_time(), self._redis.pipeline(transaction=False) as pipe:
            for item in items:
                pipe.xadd(NEWS, {BY: self._process, ITEM: _pack(item)}, maxlen=LENGTH)
            await pipe.execute()

    # From the others

    async def _listen(self, listener: Listener) -> None:
        while True:
            for item in await self._next():
                await listener(item)

    async def _next(self) -> Sequence[Change]:
        """Return what was announced since the last time; wait for a while if nothing was."""
        try:
            return await self._read() if self._has_position else await self._begin_anew()
        except AWAY as error:
            self._has_position = False
            if self._when_away is not None:
                self._when_away()
            await self._wait_to_reconnect(error)
            return ()

    async def _read(self) -> Sequence[Change]:
        if not await self._wait() and await self._has_entry():
            return ()
        async with self._in_time(), self._redis.pipeline(transaction=False) as pipe:  # one connection, so one server
            pipe.info("server")
            pipe.xrange(NEWS, min=self._position, count=1 + BATCH_MAX)
            info, entries = await pipe.execute()
        if info["run_id"] != self._run_id or not entries or entries[0][0] != self._position:
            return await self._begin_anew()
        self._position = entries[-1][0]
        return [item for entry in entries[1:] if (item := self._item_of(entry)) is not None]

    async def _wait(self) -> bool:
        """Wait for something after the position; False if nothing comes for a while."""
        words = ("XREAD", "BLOCK", round(self._heartbeat_s * 1_000), "COUNT", 1, "STREAMS", NEWS, self._position)
        async with self._in_time(after_s=self._heartbeat_s):
            return bool(await self._redis.execute_command(*words))  # type: ignore[no-untyped-call]

    async def _has_entry(self) -> bool:
        """Tell whether the stream still has the entry at the position: it does not if Redis was emptied."""
        async with self._in_time():
            entries: Any = await self._redis.xrange(NEWS, min=self._position, count=1)
        return bool(entries) and entries[0][0] == self._position

    async def _begin_anew(self) -> Sequence[Change]:
        await self._take_position()
        self._receiving.end()
        return [Missed()]

    async def _take_position(self) -> None:
        async with self._in_time(), self._redis.pipeline(transaction=True) as pipe:
            pipe.info("server")
            pipe.xadd(NEWS, {BY: self._process}, maxlen=LENGTH)
            info, self._position = await pipe.execute()
        self._run_id, self._has_position = info["run_id"], True

    def _item_of(self, entry: Entry) -> Change | None:
        _, fields = entry
        if fields.get(BY) == self._process or ITEM not in fields:
            return None
        return _unpack(fields[ITEM])


def _pack(item: Change) -> bytes:
    match item:
        case BotChanged(bot_id):
            row: tuple[object, ...] = "bot", bot_id
        case ChatChanged(bot_id, chat_id):
            row = "chat", bot_id, chat_id
        case ServiceChanged(name, closed):
            row = "service", name, closed
        case AccessChanged():
            row = ("access",)
        case Missed():
            row = ("missed",)
    return msgspec.msgpack.encode(row)


def _unpack(data: bytes) -> Change | None:
    """Return a change; None for what only another version knows, which keeps something else in memory."""
    try:
        row = msgspec.msgpack.decode(data)
    except msgspec.DecodeError:
        row = None
    match row:
        case ["bot", int(bot_id)]:
            return BotChanged(bot_id)
        case ["chat", int(bot_id), int() | str() as chat_id]:
            return ChatChanged(bot_id, chat_id)
        case ["service", str(name), [*closed]] if all(isinstance(each, str) for each in closed):
            return ServiceChanged(name, tuple(closed))
        case ["access"]:
            return AccessChanged()
        case ["missed"]:
            return Missed()
    log.warning("change_not_understood", possible_cause="another version of tempogram announced it")
    return None
