"""The result channel of many processes: each hears its own, whose number the ids that it made bear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as NotConnected

from tempogram.engine.brokers.redis import keys
from tempogram.engine.channels import results_codec
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.reconnect import AWAY, HEARTBEAT_S, REPLY_S, Reconnect, hang_up
from tempogram.engine.model.ids import maker_of, number_of
from tempogram.engine.ports.results import Result
from tempogram.engine.resilience.batcher import Batcher
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

BATCH_MAX = 200
WAITING_MAX = 10_000
"""Answers that may wait for Redis; what comes beyond is dropped. A guess: some seconds of a large fleet."""

BYTES_MAX = 1 << 20
"""Of one answer. Telegram's have some KB, that to an album ten times as much."""


class RedisResults:
    """See ``Results``.

    Who waits and is not told, because Redis is away or lost the answer, waits until his patience ends, and looks
    into the ledger: so nothing is repeated here, and nobody is held up.

    Args:
        redis: See ``redis_broker.connect``; the listener takes a connection of its own from it.
        process: The number in the ids that this process makes.
        conditions: Where it is told that Redis is away; that it is back, by ``run``.
        heartbeat_s: Of silence, after which the listener asks whether Redis is still there.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        process: int,
        conditions: Conditions,
        heartbeat_s: float = HEARTBEAT_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._process = number_of(process)
        self._heartbeat_s = heartbeat_s
        self._here = MemoryResults()
        self._outbox = Batcher(self._send, batch_max=BATCH_MAX, waiting_max=WAITING_MAX)
        self._telling = Reconnect("answers to other processes", conditions, sleep=sleep)
        self._hearing = Reconnect("answers from other processes", conditions, sleep=sleep)
        self._untold = asyncio.Event()
        self.listening = asyncio.Event()
        """Set while answers can be heard."""

    def expect(self, message_id: str) -> asyncio.Future[Result]:
        return self._here.expect(message_id)

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        self._here.forget(message_id, future)

    async def publish(self, result: Result) -> None:
        """See ``Results``. What is for another process goes behind the caller's back."""
        if maker_of(result.message_id) in {self._process, ""}:
            await self._here.publish(result)
        elif not self._outbox.put(result):
            self._miss("too many wait for Redis")

    async def sent(self) -> None:
        """Wait until what was published has gone; for the end of a process."""
        await self._outbox.emptied()

    async def run(self) -> None:
        """Hear answers until cancelled; and see whether others can be told again, if they could not."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._hear_all())
            both.create_task(self._look_for_redis())

    # To the others

    def _miss(self, reason: BaseException | str) -> None:
        self._telling.begin(reason)
        self._untold.set()

    async def _look_for_redis(self) -> None:
        """Ask for it after it took no answer, until it is there: perhaps there is never another answer to tell."""
        while True:
            await self._untold.wait()
            await self._outbox.emptied()
            self._untold.clear()
            try:
                async with asyncio.timeout(REPLY_S):
                    await self._redis.ping()
            except AWAY as error:
                self._miss(error)
                await self._telling.pause()
            else:
                if not self._untold.is_set():
                    self._telling.end()

    async def _send(self, results: Sequence[Result]) -> None:
        try:
            async with asyncio.timeout(REPLY_S), self._redis.pipeline(transaction=False) as pipe:
                for result in results:
                    packed = results_codec.pack(result)
                    if len(packed) <= BYTES_MAX:
                        pipe.publish(keys.results(maker_of(result.message_id)), packed)
                    else:
                        log.warning("answer not told, it is too large", message_id=result.message_id, size=len(packed))
                await pipe.execute()
        except AWAY as error:
            self._miss(error)

    # From the others

    async def _hear_all(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                self._hearing.begin(error)
                await hang_up(self._redis)
                await self._hearing.pause()

    async def _listen(self) -> None:
        async with aclosing(self._redis.pubsub(ignore_subscribe_messages=True)) as channel:
            async with asyncio.timeout(REPLY_S):
                await channel.subscribe(keys.results(self._process))
                await channel.get_message(timeout=REPLY_S)  # that it is subscribed
            self._hearing.end()
            self.listening.set()
            try:
                while True:
                    await self._hear(channel)
            finally:
                self.listening.clear()

    async def _hear(self, channel: PubSub) -> None:
        message = await channel.get_message(timeout=self._heartbeat_s)
        if message is None:
            await channel.ping()
            message = await channel.get_message(timeout=REPLY_S)
            if message is None:
                raise NotConnected("it does not answer")
        if message["type"] == "message":
            await self._take(message["data"])

    async def _take(self, data: bytes) -> None:
        try:
            result = results_codec.unpack(data)
        except results_codec.Unknown as error:
            log.warning("answer not understood; does another version run beside this one?", reason=str(error))
        else:
            await self._here.publish(result)
