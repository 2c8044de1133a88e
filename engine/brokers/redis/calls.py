"""Calls of the scripts of one queue: finds the queue first, or begins one, and tells whether it may be used."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from tempogram.engine.brokers.redis import codec, connection
from tempogram.engine.brokers.redis.connection import DRIVER_ERRORS
from tempogram.engine.brokers.redis.keys import ledger, prefix, schema_of
from tempogram.engine.brokers.redis.ownership import Ownership, reason
from tempogram.engine.brokers.redis.requirements import is_old
from tempogram.engine.brokers.redis.scripts import scripts
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import BrokerRefused, QueueLost, QueueOfAnother

PAGE = 50
"""Past sends, holds, lanes or keys in one script; each takes up to 60 microseconds, and every call waits for it."""

REFUSALS = {
    "gone": "Redis holds no queue, or another than it did; it must be rebuilt from the ledger",
    "barred": "the queue in Redis may be older than the ledger; nothing is leased before it is rebuilt",
    "behind": "the clock of Redis was set back by {} s, and every time in its queue is one to come; it must be rebuilt",
}

ANY = "-"
"""Stands for any incarnation, and for no ledger."""


class Calls:
    """Runs the verbs of one queue as scripts.

    Args:
        redis: See ``connect``.
        limits: Of the queue, if it is begun here.
        clock: For tests. Without one the time is that of Redis, about which no two processes disagree.
        schema: Of its keys and records. A test gives another one.
        incarnation: Of the queue, if it is begun here.
        begins: How a queue is begun if there is none: ``"open"`` may lease at once; ``""`` begins none.
        knows_no_other: Every verb raises if the queue is of another incarnation.
        ownership: Every verb raises if the queue is of another ledger. None: it belongs to none.
        own_clock: Of this process; a queue that is begun here goes by it. None: by that of Redis.
    """

    def __init__(
        self,
        redis: Redis,
        limits: Limits,
        *,
        clock: Clock | None,
        schema: int,
        incarnation: int,
        begins: str,
        knows_no_other: bool,
        ownership: Ownership | None = None,
        own_clock: Clock | None = None,
    ) -> None:
        self._own_clock = own_clock
        self.incarnation = incarnation
        self.prefix = prefix(schema)
        self._schema = schema
        self._state = f"{self.prefix}state"
        self._redis = redis
        self._limits = limits
        self._clock = clock
        self._begins = begins
        self._is_met = False
        self._ownership = ownership
        self._ledger_id = ANY if ownership is None else ownership.ledger_id
        self._only = f" {incarnation if knows_no_other else ANY} {self._ledger_id}"
        self._scripts = scripts()

    async def __call__(self, verb: str, *arguments: str | float | bytes) -> tuple[Any, codec.Records]:
        """Run a verb; return what it says, and the records of the messages that it hands over."""
        if not self._is_met:
            await self.meet(self._begins)
        script = self._scripts[verb]
        words: tuple[str | float | bytes, ...] = (1, self._state, f"{self._now()}{self._only}", *arguments)
        try:
            with DRIVER_ERRORS:
                async with asyncio.timeout(connection.REPLY_S):
                    reply = await self._redis.execute_command("EVALSHA", script.sha, *words)  # type: ignore[no-untyped-call]
        except NoScriptError:
            # Redis was started anew, or no process has called this verb yet. The first that finds out bars the queue.
            await self.meet("")
            reply = await self.command("EVAL", script.text, *words)
        said, *records = self._accepted(reply)
        return codec.unpack(said), iter(records)

    async def meet(self, begins: str, incarnation: int | None = None) -> None:
        """Find the queue, or begin one; bar it if Redis was started anew since a process met it last."""
        info = await self.command("INFO", "server")
        limits = codec.limits_record(self._limits)
        if incarnation is None:  # of the next queue, if this one turns out to be another
            incarnation = fresh_incarnation() if self._is_met else self.incarnation
        script, now = self._scripts["meet"].text, self._now()
        own_ms = "" if self._own_clock is None else self._own_clock()
        words: tuple[str | float | bytes, ...] = (incarnation, info["run_id"], limits, begins, self._ledger_id, own_ms)
        said, *_ = self._accepted(await self.command("EVAL", script, 1, self._state, now, *words))
        (self.incarnation,) = codec.unpack(said)
        self._is_met = True

    async def claim(self) -> None:
        """Claim Redis for this ledger, if it is not claimed yet.

        Raises:
            QueueOfAnother: It is claimed for another one, perhaps in an older schema.
            BrokerRefused: It refuses this process, or is too old.
        """
        info = await self.command("INFO", "server")
        if is_old(str(info["redis_version"])):
            raise BrokerRefused(f"it is version {info['redis_version']}, and 6.2 is the oldest that works")
        await self._check_claims(range(1, self._schema + 1))
        await self.command("SET", ledger(self._schema), self._ledger_id, "NX")
        await self._check_claims([self._schema])  # another may have come first

    async def _check_claims(self, schemas: Iterable[int]) -> None:
        for schema in schemas:
            claimed = await self.command("GET", ledger(schema))
            if claimed is not None and self._ledger_id not in {ANY, claimed.decode()}:
                raise self._refused()

    def _refused(self) -> QueueOfAnother:
        if self._ownership is not None:
            self._ownership.is_refused.set()
        return QueueOfAnother(reason(self._schema))

    async def clear(self, incarnation: int) -> None:
        """Remove every key of this schema, unless another process begins to do so, and those of older schemas."""
        await self._check_claims(range(1, self._schema))
        await self._clear_page(incarnation, (), is_first=True)
        kept = {self._state.encode(), ledger(self._schema).encode()}
        async for names in self.scan("SCAN", match="{q[0-9]*}:*"):
            of_schemas: dict[int, list[bytes]] = {}
            for name in names:
                if (schema := schema_of(name)) is not None:
                    of_schemas.setdefault(schema, []).append(name)
            for schema, keys in of_schemas.items():
                if schema == self._schema:
                    await self._clear_page(incarnation, [key for key in keys if key not in kept])
                elif schema < self._schema:
                    await self.command("UNLINK", f"{prefix(schema)}state", *keys)

    async def _clear_page(self, incarnation: int, keys: Sequence[bytes], *, is_first: bool = False) -> None:
        script = self._scripts["clear"].text
        words: tuple[str | float | bytes, ...] = (incarnation, codec.flag(is_first), self._ledger_id, *keys)
        self._accepted(await self.command("EVAL", script, 1, self._state, *words))

    async def scan(self, *words: str, match: str = "*") -> AsyncIterator[list[bytes]]:
        """Yield pages of what a command of the family of SCAN finds."""
        cursor = None
        while cursor != 0:
            cursor, found = await self.command(*words, cursor or 0, "MATCH", match, "COUNT", PAGE)
            if found:
                yield found

    async def command(self, *words: str | float | bytes, waits_s: float = 0) -> Any:
        """Run a command of Redis that may take ``waits_s`` longer than an answer does.

        Raises:
            BrokerUnavailable: Redis is away, or refused; it may have carried the command out.
            BrokerFull: It has no memory left for what is to be written.
        """
        with DRIVER_ERRORS:
            async with asyncio.timeout(connection.REPLY_S + waits_s):
                return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    def _now(self) -> int | str:
        """Return the time that a test gives; without one "", and the script takes the time of Redis."""
        return "" if self._clock is None else self._clock()

    def _accepted(self, reply: list[bytes]) -> list[bytes]:
        """Return what follows the word "done".

        Raises:
            QueueLost, QueueOfAnother: The script refused, and has done nothing.
        """
        word, *rest = reply
        if word == b"foreign":
            raise self._refused()
        if (refusal := REFUSALS.get(word.decode())) is not None:
            raise QueueLost(refusal.format(*(each.decode() for each in rest)))
        return rest


def fresh_incarnation() -> int:
    return secrets.randbits(48)
