"""The results channel of many processes: each receives its own, of the messages whose ids bear its number."""

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
from tempogram.engine.channels.reconnect import AWAY
from tempogram.engine.channels.redis_channel import HEARTBEAT_S, RedisChannel
from tempogram.engine.model.ids import maker_of, number_of
from tempogram.engine.ports.results import Result
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

BATCH_MAX = 200
WAITING_MAX = 10_000
"""Results that may wait for Redis; more are dropped. untuned: some seconds of many busy bots."""

BYTES_MAX = 1 << 20
"""Of one result. Telegram's answers have some KB, that to an album ten times as much."""


class RedisResults(RedisChannel[Result]):
    """See ``Results``, and ``RedisChannel``.

    A caller whose result is lost, because Redis is away or lost it, waits until its own deadline, and then reads the
    ledger: so nothing is sent twice here, and no caller is held up.

    Args:
        process: The number in the ids that this process makes.
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
        super().__init__(
            redis,
            name="results",
            conditions=conditions,
            batch_max=BATCH_MAX,
            waiting_max=WAITING_MAX,
            heartbeat_s=heartbeat_s,
            sleep=sleep,
        )
        self._process = number_of(process)
        self._here = MemoryResults()
        self.listening = asyncio.Event()
        """Set while results can be received."""

    def expect(self, message_id: str) -> asyncio.Future[Result]:
        return self._here.expect(message_id)

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        self._here.forget(message_id, future)

    async def publish(self, result: Result) -> None:
        """See ``Results``. What is for another process is sent behind the caller's back."""
        if maker_of(result.message_id) in {self._process, ""}:
            await self._here.publish(result)
        elif not self._batcher.put(result):
            self._note_unsent("too many wait for Redis")

    async def run(self) -> None:
        """Receive results until cancelled; after an outage, find out that others can be reached again."""
        await self._run(self._receive_all())

    # To the others

    async def _send(self, results: Sequence[Result]) -> None:
        async with self._in_time(), self._redis.pipeline(transaction=False) as pipe:
            for result in results:
                packed = results_codec.pack(result)
                if len(packed) <= BYTES_MAX:
                    pipe.publish(keys.results(maker_of(result.message_id)), packed)
                else:
                    log.warning("result_too_large", message_id=result.message_id, size=len(packed))
            await pipe.execute()

    async def _make_up(self) -> None:
        async with self._in_time():
            await self._redis.ping()

    # From the others

    async def _receive_all(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                await self._wait_to_reconnect(error)

    async def _listen(self) -> None:
        async with aclosing(self._redis.pubsub(ignore_subscribe_messages=True)) as channel:
            async with self._in_time():
                await channel.subscribe(keys.results(self._process))
                await channel.get_message(timeout=self.reply_s)  # that it is subscribed
            self._receiving.end()
            self.listening.set()
            try:
                while True:
                    await self._receive(channel)
            finally:
                self.listening.clear()

    async def _receive(self, channel: PubSub) -> None:
        message = await channel.get_message(timeout=self._heartbeat_s)
        if message is None:
            await channel.ping()
            message = await channel.get_message(timeout=self.reply_s)
            if message is None:
                raise NotConnected("it does not answer")
        if message["type"] == "message":
            await self._take(message["data"])

    async def _take(self, data: bytes) -> None:
        try:
            result = results_codec.unpack(data)
        except results_codec.Unknown as error:
            log.warning(
                "result_not_understood", reason=str(error), possible_cause="another version of tempogram sent it"
            )
        else:
            await self._here.publish(result)
