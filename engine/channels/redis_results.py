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
from tempogram.engine.ports.results import OnProgress, Progress, Result
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

BATCH_MAX = 200
WAITING_MAX = 10_000
"""Results that may wait for Redis; more are dropped. untuned: some seconds of many busy bots."""

LATE_S = 0.25
"""How long a call takes before the process that waits for it hears that it has begun: most have ended by then, and
cost nothing. untuned: a caller that waits for less than that in all takes such a call for one that waits."""

BYTES_MAX = 1 << 20
"""Of one result. Telegram's answers have some KB, that to an album ten times as much."""


class RedisResults(RedisChannel[Result | Progress]):
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
        self._calls: dict[str, asyncio.TimerHandle] = {}  # those of other processes' messages, until they are late
        self._announced: set[str] = set()  # those that were late
        self.listening = asyncio.Event()
        """Set while results can be received."""

    def expect(self, message_id: str, on_progress: OnProgress | None = None) -> asyncio.Future[Result]:
        return self._here.expect(message_id, on_progress)

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        self._here.forget(message_id, future)

    async def publish(self, result: Result) -> None:
        """See ``Results``. What is for another process is sent behind the caller's back.

        A message that a process before this one submitted may be awaited here, too: its handler runs again.
        """
        await self._here.publish(result)
        if not self._is_here(result.message_id):
            self._end_call(result.message_id)
            self._put(result)

    def call_begins(self, message_id: str) -> None:
        """See ``Results``. Another process hears of it only if the call takes long."""
        self._here.call_begins(message_id)
        if not self._is_here(message_id) and message_id not in self._calls:
            self._calls[message_id] = asyncio.get_running_loop().call_later(LATE_S, self._announce, message_id)

    def waits_again(self, message_id: str) -> None:
        self._here.waits_again(message_id)
        if not self._is_here(message_id) and self._end_call(message_id):
            self._put(Progress(message_id, is_calling=False))

    def _is_here(self, message_id: str) -> bool:
        return maker_of(message_id) in {self._process, ""}

    def _announce(self, message_id: str) -> None:
        del self._calls[message_id]
        self._announced.add(message_id)
        self._put(Progress(message_id, is_calling=True, age_ms=round(LATE_S * 1_000)))

    def _end_call(self, message_id: str) -> bool:
        """Forget a call; return whether its process was informed."""
        late = self._calls.pop(message_id, None)
        if late is not None:
            late.cancel()
            return False
        was_announced = message_id in self._announced
        self._announced.discard(message_id)
        return was_announced

    def _put(self, item: Result | Progress) -> None:
        if not self._batcher.put(item):
            self._note_unsent("too many wait for Redis")

    async def run(self) -> None:
        """Receive results until cancelled; after an outage, find out that others can be reached again."""
        await self._run(self._receive_all())

    # To the others

    async def _send(self, results: Sequence[Result | Progress]) -> None:
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
            return
        if isinstance(result, Progress):
            self._here.note(result)
        else:
            await self._here.publish(result)
