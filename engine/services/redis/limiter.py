"""Awaits places for calls in the queue that all processes share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.connection import DRIVER_ERRORS
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.ports.call_uses import CallUses
from tempogram.engine.resilience.batcher import Batcher
from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.memory_queue import COVER_MS
from tempogram.engine.services.meter import COUNTED_WITHIN_MS
from tempogram.engine.services.redis.keys import prefix
from tempogram.engine.services.redis.queue import Heard, RedisCallQueue, ask, limiter_words
from tempogram.engine.services.redis.scripts import BEGUN_MAX, LEASE_MS

log = structlog.get_logger()

BEAT_S = 1.0
"""How often a process with calls is heard of; after an emptied Redis it says within this time which are under way."""

LISTEN_S = 5.0
"""How long one wait for calls that began may last. untuned: a wait costs nothing."""

LOST_AFTER_S = LEASE_MS / 1_000 - 2
"""After so long without an answer, calls under way end: their places are about to be given to others."""


class RedisCallLimiter:
    """See ``CallLimiter``; for many processes."""

    def __init__(self, redis: Redis, process: str, *, uses: CallUses | None = None, clock: Clock | None = None) -> None:
        self._redis = redis
        self._process = process
        self._uses = uses
        self._queue = RedisCallQueue(redis, process, clock=clock, keeps_uses=uses is not None)
        self._words: Batcher[list[Any]] = Batcher(self._exchange, batch_max=BEGUN_MAX)
        self._calls: dict[str, Call] = {}
        self._waiting = 0
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._heard_at_s = 0.0

    @property
    def waiting(self) -> int:
        return self._waiting

    async def begin(self, call: Call) -> None:
        self._numbers += 1
        call.call_id = f"{self._process}-{self._numbers}"
        call.waiter = asyncio.get_running_loop().create_future()
        self._calls[call.call_id] = call
        self._waiting += 1
        self._words.put(ask(call))
        self._stay_heard()
        try:
            await call.waiter
        except asyncio.CancelledError:
            self.end(call, [0] * len(call.charges))
            raise
        finally:
            self._waiting -= 1

    def end(self, call: Call, used: Sequence[int] | None = None) -> None:
        if self._calls.pop(call.call_id, None) is not None:
            self._words.put(["end", call.call_id, list(used) if used is not None else False])

    def hold(self, limiter: Limiter, until_ms: int, by: str) -> None:
        self._words.put(["hold", limiter_words(limiter), until_ms, by])

    def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None) -> None:
        self._words.put(["believe", limiter_words(limiter), left, until_ms, of or 0])

    async def close(self) -> None:
        await self._words.emptied()
        for task in (*self._tasks, self._beating, self._listening):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._timer is not None:
            self._timer.cancel()

    async def _exchange(self, words: list[list[Any]]) -> None:
        heard = None
        while heard is None:
            try:
                with DRIVER_ERRORS:
                    async with asyncio.timeout(BEAT_S * 2):
                        heard = await self._queue.say(words, list(self._calls.values()))
            except (BrokerUnavailable, TimeoutError) as error:
                self._end_lost()
                log.debug("call_limits_away", reason=str(error))
                await asyncio.sleep(BEAT_S / 2)
        self._hear(heard)

    def _hear(self, heard: Heard) -> None:
        loop = asyncio.get_running_loop()
        self._heard_at_s = loop.time()
        for call_id in heard.begun:
            self._begin(call_id, heard.now_ms)
        for name, units in heard.wants:
            task = asyncio.create_task(self._restore(name, heard.now_ms) if units < 0 else self._cover(name, units, heard.now_ms))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if heard.next_ms is not None and self._waiting:
            delay_s = max(0.0, (heard.next_ms - heard.now_ms) / 1_000)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(delay_s, self._look)

    def _begin(self, call_id: str, now_ms: int) -> None:
        call = self._calls.get(call_id)
        if call is None:
            self._words.put(["end", call_id, False])  # it was cancelled meanwhile
        elif call.began_at_ms < 0:
            call.began_at_ms = now_ms
            if call.waiter is not None and not call.waiter.done():
                call.waiter.set_result(None)

    def _look(self) -> None:
        self._timer = None
        if not self._words.is_busy:
            self._words.put(["look"])

    def _stay_heard(self) -> None:
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())

    async def _beat(self) -> None:
        """Be heard of while there are calls."""
        while self._calls:
            await asyncio.sleep(BEAT_S)
            if not self._words.is_busy:
                self._words.put(["look"])

    async def _listen(self) -> None:
        """Hear of calls that other processes let begin, while any wait."""
        key = f"{prefix()}begun:{self._process}"
        while self._waiting:
            try:
                with DRIVER_ERRORS:
                    heard = await self._redis.blpop([key], timeout=LISTEN_S)  # type: ignore[misc]
            except BrokerUnavailable:
                await asyncio.sleep(BEAT_S)
                continue
            if heard is not None:
                self._begin(heard[1].decode(), self._now_ms())

    def _now_ms(self) -> int:
        return 0

    def _end_lost(self) -> None:
        """End the calls whose places are about to be given to others."""
        if asyncio.get_running_loop().time() - self._heard_at_s < LOST_AFTER_S:
            return
        for call in self._calls.values():
            if call.began_at_ms >= 0 and call.lost is not None:
                call.lost()

    async def _cover(self, name: str, units: int, now_ms: int) -> None:
        assert self._uses is not None
        try:
            await self._uses.add([(name, now_ms + COVER_MS + COUNTED_WITHIN_MS, units)])
        except LedgerError as error:
            log.warning("call_uses_not_kept", limiter=name, reason=str(error))
        else:
            self._words.put(["cover", name, units])

    async def _restore(self, name: str, now_ms: int) -> None:
        assert self._uses is not None
        try:
            uses = await self._uses.since(name, now_ms)
        except LedgerError as error:
            log.warning("call_uses_not_read", limiter=name, reason=str(error))
        else:
            self._words.put(["restore", name, uses])
