"""The queue of calls of many processes: what one process says to it, and hears from it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from tempogram.engine.model.clock import Clock
from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.redis.keys import prefix
from tempogram.engine.services.redis.scripts import exchange, run

pack = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class Heard:
    """What a process hears in an exchange.

    Attributes:
        now_ms: The time in Redis.
        begun: Ids of its calls that may begin.
        next_ms: When to come again; None: not by time.
        wants: Limiters of any process that wait for the database: units to be covered, or -1: uses to be restored; and
            their windows.
        failing: Limiters of which processes agree that they fail, and until when.
    """

    now_ms: int
    begun: list[str]
    next_ms: int | None
    wants: list[tuple[str, int, int]]
    failing: dict[str, int]


class RedisCallQueue:
    """See ``memory_queue``; says and hears everything in exchanges of one round trip.

    Args:
        process: Its name, of its own in all processes.
        clock: For tests; without one the time is that of Redis.
        keeps_uses: As in ``MemoryCallQueue``; the first process decides.
        lost: Gets each call under way whose places were given to others, as nothing was heard of the process.
    """

    def __init__(
        self,
        redis: Redis,
        process: str,
        *,
        clock: Clock | None = None,
        keeps_uses: bool = False,
        lost: Callable[[Call], None] = lambda _call: None,
    ) -> None:
        self._redis = redis
        self._process = process
        self._clock = clock
        self._keeps_uses = keeps_uses
        self._state = f"{prefix()}state"
        self._lost = lost
        self._known = ""

    async def say(self, words: Sequence[Any], calls: Sequence[Call] = (), *, asks_again: bool = False) -> Heard:
        """Say words in their order (see ``exchange.lua``), and hear.

        Args:
            words: Among them ``ask`` of each new call.
            calls: All that wait or are under way, which are said again if Redis was emptied, or has forgotten them.
            asks_again: An answer was lost, and with it perhaps which calls may begin.
        """
        if asks_again:
            words = [*asks(calls), *no_asks(words)]
        has_calls = len(calls) > sum(each[0] == "ask" for each in words)
        while True:
            reply = await self._exchange(words, has_calls=has_calls)
            match reply[0]:
                case b"ok":
                    return heard(*reply[1:])
                case b"forgotten":
                    for each in calls:
                        if each.began_at_ms >= 0:
                            self._lost(each)
                    words, has_calls = [*asks(calls), *no_asks(words)], False
                case _:
                    is_first, self._known, has_calls = not self._known, reply[1].decode(), False
                    if not is_first:
                        words = [*again(calls), *no_asks(words)]

    async def _exchange(self, words: Sequence[Any], *, has_calls: bool) -> list[Any]:
        now = "" if self._clock is None else str(self._clock())
        fresh = secrets.token_hex(8)
        arguments = (now, self._process, self._known, fresh, int(self._keeps_uses), int(has_calls), pack(words))
        return list(await run(self._redis, exchange(), self._state, *arguments))


def heard(now_ms: int, begun: list[bytes], next_ms: int, wants: list[Any], failing: list[bytes]) -> Heard:
    return Heard(
        now_ms=now_ms,
        begun=[each.decode() for each in begun],
        next_ms=None if next_ms < 0 else next_ms,
        wants=[(name.decode(), units, window_ms) for name, units, window_ms in zip(*[iter(wants)] * 3, strict=True)],
        failing={name.decode(): int(float(until_ms)) for name, until_ms in pairs(failing)},
    )


def pairs(flat: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield two and two of a list.

    >>> list(pairs(["a", 1, "b", 2]))
    [('a', 1), ('b', 2)]
    """
    each = iter(flat)
    return zip(each, each, strict=True)


def again(calls: Sequence[Call]) -> list[list[Any]]:
    """Say calls that are not known any more, by the newest limit that one of them brings."""
    newest: dict[str, Limiter] = {}
    for limiter in (charge.limiter for call in calls for charge in call.charges):
        if limiter.version > newest.setdefault(limiter.name, limiter).version:
            newest[limiter.name] = limiter
    return [
        [
            "running" if call.began_at_ms >= 0 else "ask",
            call.call_id,
            call.priority,
            [[charge.cost, *limiter_words(newest[charge.limiter.name])] for charge in call.charges],
        ]
        for call in calls
    ]


def asks(calls: Sequence[Call]) -> list[list[Any]]:
    """Return the words that ask for those that wait; of one that is known already nothing is changed."""
    return [ask(call) for call in calls if call.began_at_ms < 0]


def no_asks(words: Sequence[Any]) -> list[Any]:
    return [each for each in words if each[0] not in {"ask", "running"}]


def ask(call: Call) -> list[Any]:
    return ["ask", call.call_id, call.priority, [charge_words(charge) for charge in call.charges]]


def charge_words(charge: Charge) -> list[Any]:
    return [charge.cost, *limiter_words(charge.limiter)]


def limiter_words(limiter: Limiter) -> list[Any]:
    limit = limiter.limit
    return [
        limiter.name,
        limiter.version,
        [limit.count, limit.window_ms, limit.burst or 0, limit.apart_ms, limit.concurrency],
    ]
