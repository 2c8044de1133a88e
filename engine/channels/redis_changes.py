"""The news of many processes: one stream in one Redis, which each reads from its own place on.

A place is the id of the last entry that was read. As long as that entry stands in the stream before what comes
next, nothing was missed. It does not if the stream was trimmed beyond it, emptied, or came back from an older
file; then, or if Redis was away or started anew, the listener is told ``Missed``, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.keys import NEWS
from tempogram.engine.channels.reconnect import AWAY, HEARTBEAT_S, REPLY_S, Reconnect, hang_up
from tempogram.engine.model.ids import number_of
from tempogram.engine.ports.changes import BotChanged, Change, ChatChanged, Listener, Missed
from tempogram.engine.resilience.batcher import Batcher
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

LENGTH = 10_000
"""Entries that the stream keeps, or some more. A guess: who is so far behind reads everything again."""

BATCH_MAX = 100
"""Entries that are written, or read, at once."""

WAITING_MAX = 1_000
"""News that may wait for Redis; who announces more lets the others read everything again."""

BY, ITEM = b"by", b"item"
"""The fields of an entry. One without an item only keeps its writer's place."""

Entry = tuple[bytes, Mapping[bytes, bytes]]


class RedisChanges:
    """See ``Changes``.

    Args:
        redis: See ``redis_broker.connect``; the listener keeps a connection of it.
        process: The number in the ids that this process makes.
        conditions: Where it is told that Redis is away; that it is back, by ``run``.
        when_away: Called whenever Redis is missed: in an idle process nobody else would notice.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        process: int,
        conditions: Conditions,
        when_away: Callable[[], None] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._when_away = when_away
        self._process = number_of(process).encode()
        self._outbox = Batcher(self._write, batch_max=BATCH_MAX, waiting_max=WAITING_MAX)
        self._telling = Reconnect("news to other processes", conditions, sleep=sleep)
        self._hearing = Reconnect("news of other processes", conditions, sleep=sleep)
        self._untold = asyncio.Event()
        self._place, self._run_id = b"", ""
        self._is_placed = False

    async def begin(self) -> None:
        """Hear what comes from now on, once ``run`` is called; before the books are read, or some may be missed.

        Never raises: without it, or if Redis is away, ``run`` begins with ``Missed``.
        """
        try:
            await self._take_place()
        except AWAY as error:
            self._hearing.begin(error)

    async def announce(self, item: Change) -> None:
        """See ``Changes``. It is told behind the caller's back."""
        if not self._outbox.put(item):
            self._untold.set()

    async def announced(self) -> None:
        """Wait until what was announced is told, or waits for Redis; for the end of a process."""
        await self._outbox.emptied()

    async def run(self, listener: Listener) -> None:
        """See ``Changes``. Also makes up for what could not be told."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._listen(listener))
            both.create_task(self._make_up())

    # To the others

    async def _write(self, items: Sequence[Change]) -> None:
        if self._untold.is_set():
            return  # they read everything again, later than now
        try:
            await self._add(items)
        except AWAY as error:
            self._telling.begin(error)
            self._untold.set()

    async def _make_up(self) -> None:
        while True:
            await self._untold.wait()
            # Before it is told: what is announced meanwhile may have been written too late for them to read.
            self._untold.clear()
            try:
                await self._add([Missed()])
            except AWAY as error:
                self._telling.begin(error)
                self._untold.set()
                await self._telling.pause()
            else:
                self._telling.end()

    async def _add(self, items: Sequence[Change]) -> None:
        async with asyncio.timeout(REPLY_S), self._redis.pipeline(transaction=False) as pipe:
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
            return await self._read() if self._is_placed else await self._begin_anew()
        except AWAY as error:
            self._is_placed = False
            self._hearing.begin(error)
            if self._when_away is not None:
                self._when_away()
            await hang_up(self._redis)
            await self._hearing.pause()
            return ()

    async def _read(self) -> Sequence[Change]:
        await self._wait()
        async with asyncio.timeout(REPLY_S), self._redis.pipeline(transaction=True) as pipe:
            pipe.info("server")
            pipe.xrange(NEWS, min=self._place, count=1 + BATCH_MAX)
            info, entries = await pipe.execute()
        if info["run_id"] != self._run_id or not entries or entries[0][0] != self._place:
            return await self._begin_anew()
        self._place = entries[-1][0]
        return [item for entry in entries[1:] if (item := self._item_of(entry)) is not None]

    async def _wait(self) -> None:
        """Return when something comes after the place, or after a while."""
        words = ("XREAD", "BLOCK", round(HEARTBEAT_S * 1_000), "COUNT", 1, "STREAMS", NEWS, self._place)
        async with asyncio.timeout(HEARTBEAT_S + REPLY_S):
            await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def _begin_anew(self) -> Sequence[Change]:
        await self._take_place()
        self._hearing.end()
        return [Missed()]

    async def _take_place(self) -> None:
        async with asyncio.timeout(REPLY_S), self._redis.pipeline(transaction=True) as pipe:
            pipe.info("server")
            pipe.xadd(NEWS, {BY: self._process}, maxlen=LENGTH)
            info, self._place = await pipe.execute()
        self._run_id, self._is_placed = info["run_id"], True

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
        case Missed():
            row = ("missed",)
    return msgspec.msgpack.encode(row)


def _unpack(data: bytes) -> Change | None:
    """Return an item; None for what only another version knows, which keeps something else in memory."""
    try:
        row = msgspec.msgpack.decode(data)
    except msgspec.DecodeError:
        row = None
    match row:
        case ["bot", int(bot_id)]:
            return BotChanged(bot_id)
        case ["chat", int(bot_id), int() | str() as chat_id]:
            return ChatChanged(bot_id, chat_id)
        case ["missed"]:
            return Missed()
    log.warning("news not understood; does another version run beside this one?")
    return None
