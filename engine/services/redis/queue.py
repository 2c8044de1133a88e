"""The queue of calls of many processes: what one process says to it, and hears from it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from tempogram.engine.model.clock import Clock
from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.redis.keys import prefix
from tempogram.engine.services.redis.scripts import exchange

pack = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class Heard:
    now_ms: int
    begun: list[str]
    next_ms: int | None
    wants: list[tuple[str, int]]


class RedisCallQueue:
    def __init__(self, redis: Redis, process: str, *, clock: Clock | None = None, keeps_uses: bool = False) -> None:
        self._redis = redis
        self._process = process
        self._clock = clock
        self._keeps_uses = keeps_uses
        self._state = f"{prefix()}state"
        self._known = ""
        self._text, self._sha = exchange()

    async def say(self, words: Sequence[Any], calls: Sequence[Call] = ()) -> Heard:
        while True:
            fresh = secrets.token_hex(8)
            now = "" if self._clock is None else str(self._clock())
            arguments = (now, self._process, self._known, fresh, int(self._keeps_uses), pack(words))
            try:
                reply = await self._redis.execute_command("EVALSHA", self._sha, 1, self._state, *arguments)
            except NoScriptError:
                reply = await self._redis.execute_command("EVAL", self._text, 1, self._state, *arguments)
            if reply[0] == b"ok":
                _, now_ms, begun, next_ms, wants = reply
                pairs = [(wants[i].decode(), int(wants[i + 1])) for i in range(0, len(wants), 2)]
                return Heard(int(now_ms), [each.decode() for each in begun], None if next_ms < 0 else int(next_ms), pairs)
            is_first, self._known = not self._known, reply[1].decode()
            if not is_first:
                words = [*map(again, calls), *(w for w in words if w[0] != "ask")]


def again(call: Call) -> list[Any]:
    return ["running" if call.began_at_ms >= 0 else "ask", call.call_id, call.priority, [charge_words(c) for c in call.charges]]


def ask(call: Call) -> list[Any]:
    return ["ask", call.call_id, call.priority, [charge_words(charge) for charge in call.charges]]


def charge_words(charge: Charge) -> list[Any]:
    return [charge.cost, *limiter_words(charge.limiter)]


def limiter_words(limiter: Limiter) -> list[Any]:
    limit = limiter.limit
    return [limiter.name, limiter.version, [limit.count, limit.window_ms, limit.burst or 0, limit.apart_ms, limit.concurrency]]
