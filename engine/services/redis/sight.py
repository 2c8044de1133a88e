"""What is seen of the queue that all processes share, from outside: it reads, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.connection import DRIVER_ERRORS
from tempogram.engine.model.clock import Clock
from tempogram.engine.services.calls import Limiter, operation_of
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.redis.keys import prefix
from tempogram.engine.services.redis.queue import limiter_words, pack
from tempogram.engine.services.redis.scripts import run, states
from tempogram.engine.services.state import LimiterState, WaitingCall, starting

READ_MAX = 20_000
"""Calls that are looked through for those of one service. untuned: it takes some 0.2 s, and Redis 1 ms at a time."""

READ_AT_ONCE = 500

AGREED = "as processes agree that it fails"


class StoredCall(msgspec.Struct):
    """A call as the queue keeps it; see ``lua/shared/call_queue.lua``."""

    priority: int
    arrival: int
    began_at_ms: int
    asked_at_ms: int
    stands_at: str
    charges: list[tuple[str, int, int, list[int]]]

    @property
    def operation(self) -> str:
        return operation_of(name for name, *_ in self.charges)

    @property
    def limiter(self) -> Limiter:
        """Return the limiter for which it waits."""
        return next(
            Limiter(name, _limit(limit), version) for name, _, version, limit in self.charges if name == self.stands_at
        )


class Sight:
    """Reads limiters and waiting calls of all processes.

    Every method raises ``BrokerUnavailable`` while Redis is away.
    """

    def __init__(self, redis: Redis, *, clock: Clock | None, keeps_uses: bool) -> None:
        self._redis = redis
        self._clock = clock
        self._keeps_uses = keeps_uses
        self._decode = msgspec.msgpack.Decoder(StoredCall).decode

    async def states(self, limiters: Sequence[Limiter]) -> list[LimiterState]:
        """See ``CallLimiter``."""
        return (await self._states(limiters))[1]

    async def line(self, service: str, calls_max: int) -> list[WaitingCall]:
        """See ``CallLimiter``; of very many calls only ``READ_MAX`` are looked through."""
        found = [
            (call_id, call)
            async for call_id, call in self._calls()
            if call.stands_at and call.operation.startswith(f"{service}:")
        ]
        found.sort(key=lambda each: (each[1].priority, each[1].arrival))
        return await self._explained(found[:calls_max])

    async def explain(self, call_id: str) -> WaitingCall | None:
        """See ``CallLimiter``."""
        with DRIVER_ERRORS:
            record = await self._redis.execute_command("HGET", f"{prefix()}calls", call_id)  # type: ignore[no-untyped-call]
        call = self._decode(record) if record is not None else None
        if call is None or not call.stands_at:
            return None
        return (await self._explained([(call_id, call)]))[0]

    async def _explained(self, calls: Sequence[tuple[str, StoredCall]]) -> list[WaitingCall]:
        now_ms, states = await self._states([call.limiter for _, call in calls])
        with DRIVER_ERRORS:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for call_id, call in calls:
                    pipeline.zrank(f"{prefix()}waiting:{call.stands_at}", call_id)
                places = await pipeline.execute()
        return [
            WaitingCall.at(
                state,
                call_id=call_id,
                operation=call.operation,
                priority=call.priority,
                asked_at_ms=call.asked_at_ms,
                ahead=place or 0,  # None: it began meanwhile
                now_ms=now_ms,
            )
            for (call_id, call), state, place in zip(calls, states, places, strict=True)
        ]

    async def _states(self, limiters: Sequence[Limiter]) -> tuple[int, list[LimiterState]]:
        now = "" if self._clock is None else str(self._clock())
        arguments = now, int(self._keeps_uses), pack([limiter_words(each) for each in limiters])
        with DRIVER_ERRORS:
            now_ms, seen = await run(self._redis, states(), f"{prefix()}state", *arguments)
        return now_ms, [_state(limiter.name, *each) for limiter, each in zip(limiters, seen, strict=True)]

    async def _calls(self) -> AsyncIterator[tuple[str, StoredCall]]:
        cursor, read = 0, 0
        while True:
            words = "HSCAN", f"{prefix()}calls", cursor, "COUNT", READ_AT_ONCE
            with DRIVER_ERRORS:
                cursor, records = await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]
            for call_id, record in records.items():
                yield call_id.decode(), self._decode(record)
            read += len(records)
            if not cursor or read >= READ_MAX:
                return


def _state(
    name: str,
    limit: list[int],
    under_way: int,
    waiting: int,
    left: int,
    free_at_ms: int,
    held_until_ms: int,
    held_by: bytes,
    open_until_ms: int,
) -> LimiterState:
    by = starting(held_by.decode()) if held_until_ms else ""
    return LimiterState(
        name=name,
        limit=_limit(limit),
        under_way=under_way,
        waiting=waiting,
        left=None if left < 0 else left,
        free_at_ms=None if free_at_ms < 0 else free_at_ms,
        held_until_ms=max(held_until_ms, open_until_ms),
        held_by=AGREED if open_until_ms > held_until_ms else by,
    )


def _limit(words: list[int]) -> CallLimit:
    count, window_ms, burst, apart_ms, concurrency = words
    return CallLimit(count=count, window_ms=window_ms, burst=burst or None, apart_ms=apart_ms, concurrency=concurrency)
