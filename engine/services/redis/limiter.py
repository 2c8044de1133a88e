"""Awaits places for calls in the queue that all processes share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.connection import DRIVER_ERRORS
from tempogram.engine.model.clock import Clock, SystemClock
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports.call_uses import CallUses
from tempogram.engine.resilience.batcher import Batcher
from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.kept_uses import KeptUses
from tempogram.engine.services.redis.keys import prefix
from tempogram.engine.services.redis.queue import Heard, RedisCallQueue, ask, limiter_words
from tempogram.engine.services.redis.scripts import BEGUN_MAX, LEASE_MS
from tempogram.engine.services.redis.sight import Sight
from tempogram.engine.services.state import LimiterState, WaitingCall

log = structlog.get_logger()

BEAT_S = 1.0
"""How often a process with calls is heard of; after an emptied Redis it says within this time which are under way."""

LISTEN_S = 5.0
"""How long one wait for calls that began may last. untuned: a wait costs nothing."""

SETTLED_S = 1.0
"""How long a caller that changed something waits until it can see that. untuned: an exchange takes a millisecond."""

LOST_AFTER_S = LEASE_MS / 1_000 - 2
"""So long after it was last heard of, a process ends its calls: their places are about to be given to others."""

ANSWER_S = 2.0
"""How long Redis may take for an exchange."""


class RedisCallLimiter:
    """See ``CallLimiter``; for many processes.

    Args:
        clock: For tests; without one the time of the queue is that of Redis.
        here: The clock by which this process gives and gets times; it may differ from that of Redis.
    """

    def __init__(
        self,
        redis: Redis,
        process: str,
        *,
        uses: CallUses | None = None,
        clock: Clock | None = None,
        here: Clock | None = None,
        on_failing: Callable[[str, int], None] = lambda _name, _until_ms: None,
    ) -> None:
        self.on_failing = on_failing
        self._redis = redis
        self._process = process
        self._kept = KeptUses(uses, cover=self._cover, restore=self._restore)
        self._queue = RedisCallQueue(redis, process, clock=clock, keeps_uses=uses is not None, lost=_lose)
        self._sight = Sight(redis, clock=clock, keeps_uses=uses is not None)
        self._words: Batcher[list[Any]] = Batcher(self._exchange, batch_max=BEGUN_MAX)
        self._calls: dict[str, Call] = {}
        self._waiting = 0
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._here = here or clock or SystemClock()
        self._ahead_ms = 0  # how much later it is in the queue than here; by an exchange at most too much
        self._heard_of_at_s = 0.0
        self._has_missed = False  # an answer, and perhaps which calls may begin
        self._is_closing = False

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

    def change(self, limiter: Limiter) -> None:
        self._words.put(["change", limiter_words(limiter)])

    async def settled(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                await self._words.emptied()

    def hold(self, limiter: Limiter, until_ms: int, by: str) -> None:
        self._words.put(["hold", limiter_words(limiter), until_ms and until_ms + self._ahead_ms, by])

    def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None) -> None:
        self._words.put(["believe", limiter_words(limiter), left, until_ms + self._ahead_ms, of or 0])

    def fails(self, limiter: Limiter, until_ms: int, probes: int) -> None:
        self._words.put(["fails", limiter_words(limiter), until_ms + self._ahead_ms, probes])

    def well(self, limiter: Limiter) -> None:
        self._words.put(["well", limiter_words(limiter)])

    async def states(self, limiters: Sequence[Limiter]) -> list[LimiterState]:
        return await self._sight.states(limiters)

    async def line(self, service: str, calls_max: int) -> list[WaitingCall]:
        return await self._sight.line(service, calls_max)

    async def explain(self, call_id: str) -> WaitingCall | None:
        return await self._sight.explain(call_id)

    async def close(self) -> None:
        """Say what is left to be said, if Redis is there."""
        self._is_closing = True
        await self._words.emptied()
        await self._kept.close()
        for task in (self._beating, self._listening):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._timer is not None:
            self._timer.cancel()

    async def _exchange(self, words: list[list[Any]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            said_at_s, said_at_ms = loop.time(), self._here()
            try:
                with DRIVER_ERRORS:
                    async with asyncio.timeout(ANSWER_S):
                        heard = await self._queue.say(words, list(self._calls.values()), asks_again=self._has_missed)
                break
            except (BrokerUnavailable, TimeoutError) as error:
                self._has_missed = True
                log.debug("call_limits_away", reason=str(error))
                if self._is_closing:
                    return
                await asyncio.sleep(BEAT_S / 2)
        self._heard_of_at_s, self._has_missed = said_at_s, False
        self._ahead_ms = heard.now_ms - said_at_ms
        self._hear(heard)

    def _hear(self, heard: Heard) -> None:
        loop = asyncio.get_running_loop()
        for call_id in heard.begun:
            self._begin(call_id)
        for name, until_ms in heard.failing.items():
            self.on_failing(name, until_ms - self._ahead_ms)
        for name, units, window_ms in heard.wants:
            self._kept.want(name, units, now_ms=heard.now_ms, window_ms=window_ms)
        if heard.next_ms is not None and self._waiting:
            delay_s = max(0.0, (heard.next_ms - heard.now_ms) / 1_000)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(delay_s, self._look)

    def _begin(self, call_id: str) -> None:
        call = self._calls.get(call_id)
        if call is None:
            self._words.put(["end", call_id, False])  # it was cancelled meanwhile
        elif call.began_at_ms < 0:
            call.began_at_ms = 0
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
        """Be heard of while there are calls; after a standstill, those end first that have lost their places."""
        while self._calls:
            await asyncio.sleep(BEAT_S)
            if self._is_stale():
                self._end_lost()
            if not self._words.is_busy:
                self._words.put(["look"])

    async def _listen(self) -> None:
        """Hear of calls that other processes let begin, while any wait."""
        key = f"{prefix()}begun:{self._process}"
        while self._waiting:
            try:
                with DRIVER_ERRORS:
                    async with asyncio.timeout(LISTEN_S + ANSWER_S):
                        heard = await self._redis.blpop([key], timeout=LISTEN_S)
            except (BrokerUnavailable, TimeoutError):
                self._has_missed = True
                await asyncio.sleep(BEAT_S)
                continue
            if heard is not None and self._is_stale():
                self._has_missed = True  # it has lain there: its place may be another's by now
            elif heard is not None:
                call_id = heard[1]
                self._begin(call_id.decode() if isinstance(call_id, bytes) else call_id)

    def _is_stale(self) -> bool:
        return asyncio.get_running_loop().time() - self._heard_of_at_s >= LOST_AFTER_S

    def _end_lost(self) -> None:
        """End the calls whose places are about to be given to others."""
        for call in self._calls.values():
            if call.began_at_ms >= 0:
                _lose(call)

    def _cover(self, name: str, units: int) -> None:
        self._words.put(["cover", name, units])

    def _restore(self, name: str, uses: Sequence[tuple[int, int]]) -> None:
        self._words.put(["restore", name, [list(use) for use in uses]])


def _lose(call: Call) -> None:
    """Say once that its places are lost."""
    lost, call.lost = call.lost, None
    if lost is not None:
        lost()
