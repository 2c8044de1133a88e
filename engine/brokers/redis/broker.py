"""The queue of many processes: one schedule in one Redis, for which the ledger stays the truth."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

from tempogram.engine.brokers.redis import codec as wire
from tempogram.engine.brokers.redis.keys import SCHEMA, chat_name, lanes, prefix, schema_of
from tempogram.engine.brokers.redis.records import message_of, record
from tempogram.engine.brokers.redis.scripts import scripts
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.batching import batches
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import BrokerFull, BrokerUnavailable, QueueLost, SettingsError
from tempogram.engine.model.messages import ChatId, Hold, Lease, Outgoing, PastSend, Settlement, Spent
from tempogram.engine.ports.broker import BATCH_MAX, Admission, Leased, QueueStats, Settled
from tempogram.engine.ports.explanation import Explanation

REPLY_S = 5.0
"""How long an answer may take before Redis counts as away. A guess; a script takes milliseconds."""

HEARTBEAT_S = 30.0
"""How long a sleeper waits before it asks again whether Redis is there. A guess."""

PAGE = 50
"""Past sends, holds or lanes in one script; each takes up to 60 microseconds, and everybody waits for a script."""

UNREADABLE = (
    "REDIS_URL makes no sense: it is written as redis://:password@host:port/database, and in the password / is %2F, "
    "# is %23 and ? is %3F"
)

REFUSALS = {
    "gone": "Redis holds no schedule, or another than it did; it must be rebuilt from the ledger",
    "barred": "the schedule in Redis may be older than the ledger; nothing is leased before it is rebuilt",
}


def connect(url: str, *, socket_timeout: float | None = None) -> Redis:
    """Return a client that tries nothing twice: a call whose answer was lost may have been obeyed.

    By itself it has no time limit either, because a sleeper waits for long.

    Raises:
        SettingsError: The address makes no sense. It is not quoted, as it may hold a password.
    """
    retry = Retry(NoBackoff(), 0)
    try:
        redis = Redis.from_url(url, retry=retry, socket_connect_timeout=REPLY_S, socket_timeout=socket_timeout)
        # It connects nowhere yet, and refuses options that it does not know.
        redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise SettingsError(UNREADABLE) from None
    return redis


class RedisBroker:
    """See ``Broker``.

    If an answer is lost on its way, ``BrokerUnavailable`` is raised though the verb may have been obeyed:
    an admission that is repeated is a duplicate then, and a lease nobody heard of is recovered.

    Args:
        redis: See ``connect``; it needs a connection for each verb at once, and one for each sleeper.
        clock: For tests. Without one the time is that of Redis, which no two processes disagree about.
        incarnation: Of the schedule, if it is this broker that begins one.
        begins: If there is no schedule at the first call, begin an empty one and lease from it at once: for who has
            no ledger. Otherwise whoever finds none is told so, until somebody has called ``begin`` and ``restore``.
        form: Of its keys and records. A test gives another one.
        knows_no_other: Every verb raises if the schedule is of another incarnation.
    """

    def __init__(
        self,
        redis: Redis,
        limits: Limits,
        *,
        lease_ms: int,
        clock: Clock | None = None,
        incarnation: int | None = None,
        begins: bool = False,
        schema: int = SCHEMA,
        knows_no_other: bool = False,
    ) -> None:
        self.schema = schema
        self._prefix = prefix(schema)
        self._state = f"{self._prefix}state"
        self._redis = redis
        self._limits = limits
        self._lease_ms = lease_ms
        self._clock = clock
        self._incarnation = _fresh() if incarnation is None else incarnation
        self._begins = "open" if begins else ""
        self._is_met = False
        self._only = f" {self._incarnation}" if knows_no_other else ""
        self._rings = 0
        self._listening: asyncio.Task[int] | None = None
        self._leased_at = round(time.time() * 1_000), time.monotonic()
        """When the last lease was, by the clock of Redis in ms (before the first: by ours) and by ours in s."""

    @property
    def incarnation(self) -> int:
        return self._incarnation

    async def begin(self) -> RedisBroker:
        """See ``SharedQueue``. What an older form has left is thrown away too."""
        incarnation = _fresh()
        await self._clear(incarnation)
        await self._meet("barred", incarnation)
        return RedisBroker(
            self._redis,
            self._limits,
            lease_ms=self._lease_ms,
            clock=self._clock,
            incarnation=incarnation,
            schema=self.schema,
            knows_no_other=True,
        )

    async def enforce(self, limits: Limits) -> bool:
        """Have the schedule act by these limits, as the next version of them; False if it does already."""
        kept = await self._command("GET", f"{self._prefix}limits")
        if kept is None:
            raise QueueLost(REFUSALS["gone"])
        version = wire.version_of(kept)
        if kept == wire.limits_record(replace(limits, version=version)):
            return False
        return await self.configure(replace(limits, version=version + 1))

    async def admit(
        self, messages: Sequence[Outgoing], *, worker_id: str, slots: int, capped: bool = True
    ) -> Admission:
        _bounded(messages)
        ids, records = wire.pack([message.id for message in messages]), [record(message) for message in messages]
        (verdicts, leased), told = await self._call(
            "admit", worker_id, slots, self._lease_ms, _flag(capped), ids, *records
        )
        return Admission(
            tuple(wire.verdict_of(row, message, told) for row, message in zip(verdicts, messages, strict=True)),
            wire.leased_of(leased, told, worker_id=worker_id),
        )

    async def lease(self, *, worker_id: str, slots: int) -> Leased:
        leased, records = await self._call("lease", worker_id, slots, self._lease_ms)
        *_, self._rings, self._incarnation, now_ms = leased
        self._leased_at = now_ms, time.monotonic()
        return wire.leased_of(leased, records, worker_id=worker_id)

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        _bounded(leases)
        extended, _ = await self._call("extend", by_ms, wire.pack([wire.lease_row(lease) for lease in leases]))
        return list(extended)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        _bounded(settlements)
        bodies: list[bytes] = []
        rows = wire.pack([wire.settlement_row(each, bodies) for each in settlements])
        settled, _ = await self._call("settle", rows, *bodies)
        return [wire.settled_of(row) for row in settled]

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        (leases, incarnation), records = await self._call("recover", worker_id, slots, self._lease_ms)
        return wire.leases_of(leases, records, worker_id=worker_id, incarnation=incarnation)

    async def hold(self, holds: Sequence[Hold]) -> None:
        for page in batches(holds, PAGE):
            await self._call("hold", wire.pack([wire.hold_row(hold) for hold in page]))

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        cancelled, _ = await self._call("cancel", *message_ids)
        return list(cancelled)

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        dropped: list[Outgoing] = []
        while True:
            ids, records = await self._call("drop", bot_id, chat_name(chat_id), replaces)
            dropped += [message_of(message_id, next(records)) for message_id in ids]
            if len(ids) < BATCH_MAX:
                return dropped

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        await self._call("pause", bot_id, _flag(paused))

    async def weigh(self, bot_id: int, weight: int) -> None:
        await self._call("weigh", bot_id, weight)

    async def configure(self, limits: Limits) -> bool:
        (bot_ids,), _ = await self._call("configure", limits.version, wire.limits_record(limits))
        if bot_ids is False:
            return False
        for bot_id in bot_ids:
            await self._reoffer(bot_id)
        return True

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        await self._call("migrate", bot_id, chat_name(from_chat_id), chat_name(to_chat_id))

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        await self.note(sends, spent=spent)
        for holds in batches([(str(bot_id), at_ms) for bot_id, at_ms in wait_until_ms.items()], PAGE):
            await self._call("restore", wire.pack(holds), "")
        await self._call("restore", wire.pack([]), "1")

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        oldest_first = sorted(spent, key=lambda each: each.at_ms)
        for some_spent in batches([wire.spent_row(each) for each in oldest_first], PAGE):
            await self._call("note", wire.pack(some_spent), wire.pack([]))
        for some_sends in batches([wire.send_row(send) for send in sends], PAGE):
            await self._call("note", wire.pack([]), wire.pack(some_sends))

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        _bounded(message_ids)
        known, _ = await self._call("knows", *message_ids)
        return list(known)

    async def explain(self, message_id: str) -> Explanation | None:
        row, _ = await self._call("explain", message_id)
        return wire.explanation_of(message_id, row)

    async def stats(self) -> QueueStats:
        row, _ = await self._call("stats")
        return wire.stats_of(row)

    async def wait(self, until_ms: int | None) -> None:
        """Sleep on the bell: a stream whose last entry is newer than the last lease, or will be.

        Until when is timed here. Redis looks only ten times a second whose BLOCK has run out: a place every 33 ms
        would be found up to 100 ms late, and a third of them stay unused.
        """
        left_s = math.inf if until_ms is None else (until_ms - self._now_ms()) / 1_000
        end_s = time.monotonic() + left_s
        while (left_s := end_s - time.monotonic()) > 0:
            if await self._rings_within(left_s):
                return

    async def _rings_within(self, waits_s: float) -> bool:
        """Tell whether it rang; whoever listens goes on listening when the time is over, for the next who waits."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._next_ring())
            self._listening.add_done_callback(_settings_sync)
        try:
            done, _ = await asyncio.wait([self._listening], timeout=None if waits_s == math.inf else waits_s)
        except asyncio.CancelledError:
            self._listening.cancel()
            self._listening = None
            raise
        if not done:
            return False
        heard, self._listening = self._listening, None
        return heard.result() > self._rings

    async def _next_ring(self) -> int:
        """Return the number of the first ring after those that are known now; 0 if none comes for long."""
        words = ("XREAD", "BLOCK", round(HEARTBEAT_S * 1_000), "STREAMS", f"{self._prefix}bell", f"{self._rings}-0")
        heard = await self._command(*words, waits_s=HEARTBEAT_S)
        if not heard:
            return 0
        ((_, entries),) = heard
        return int(entries[-1][0].partition(b"-")[0])

    def _now_ms(self) -> int:
        """Return the time that Redis has now, as far as the last lease tells."""
        if self._clock is not None:
            return self._clock()
        at_ms, at_s = self._leased_at
        return at_ms + round((time.monotonic() - at_s) * 1_000)

    async def _reoffer(self, bot_id: str) -> None:
        """Have every lane of a bot that waits looked at again, page by page."""
        for place in range(3):
            async for chats in self._scan("SSCAN", self._prefix + lanes(bot_id, place)):
                await self._call("reoffer", bot_id, *chats)

    # Calls

    async def _call(self, verb: str, *arguments: str | float | bytes) -> tuple[Any, wire.Records]:
        """Run a verb, and return what it says and the messages of which it tells."""
        if not self._is_met:
            await self._meet(self._begins)
        script, now = scripts()[verb], "" if self._clock is None else self._clock()
        given = f"{now}{self._only}"
        try:
            reply = await self._command("EVALSHA", script.sha, 1, self._state, given, *arguments)
        except NoScriptError:
            # Redis was started anew, or nobody has called this verb yet. The first who finds out bars it.
            await self._meet("")
            reply = await self._command("EVAL", script.text, 1, self._state, given, *arguments)
        said, *records = _said(reply)
        return wire.unpack(said), iter(records)

    async def _meet(self, begins: str, incarnation: int | None = None) -> None:
        """Find the schedule, or begin one; bar it if Redis was started anew since somebody met it last."""
        info = await self._command("INFO", "server")
        now = "" if self._clock is None else self._clock()
        limits = wire.limits_record(self._limits)
        if incarnation is None:  # of the next schedule, if this one turns out to be another
            incarnation = _fresh() if self._is_met else self._incarnation
        reply = await self._command(
            "EVAL", scripts()["meet"].text, 1, self._state, now, incarnation, info["run_id"], limits, begins
        )
        said, *_ = _said(reply)
        (self._incarnation,) = wire.unpack(said)
        self._is_met = True

    async def _clear(self, incarnation: int) -> None:
        """Remove every key of this form, unless another begins to do so, and those that older forms have left."""
        await self._clear_page(incarnation, (), is_first=True)
        async for names in self._scan("SCAN", match="{q[0-9]*}:*"):
            of_schemas: dict[int, list[bytes]] = {}
            for name in names:
                if (schema := schema_of(name)) is not None:
                    of_schemas.setdefault(schema, []).append(name)
            for schema, keys in of_schemas.items():
                if schema == self.schema:
                    await self._clear_page(incarnation, [key for key in keys if key != self._state.encode()])
                elif schema < self.schema:
                    await self._command("UNLINK", f"{prefix(schema)}state", *keys)

    async def _clear_page(self, incarnation: int, keys: Sequence[bytes], *, is_first: bool = False) -> None:
        text = scripts()["clear"].text
        _said(await self._command("EVAL", text, 1, self._state, incarnation, _flag(is_first), *keys))

    async def _scan(self, *words: str, match: str = "*") -> AsyncIterator[list[bytes]]:
        """Yield pages of what a command of the family of SCAN finds."""
        cursor = None
        while cursor != 0:
            cursor, found = await self._command(*words, cursor or 0, "MATCH", match, "COUNT", PAGE)
            if found:
                yield found

    async def _command(self, *words: str | float | bytes, waits_s: float = 0) -> Any:
        """Say something to Redis. Its exceptions end here, but for one that only we understand."""
        try:
            async with asyncio.timeout(REPLY_S + waits_s):
                return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except OutOfMemoryError as error:
            raise BrokerFull("Redis has reached its maxmemory; give it more, or let the queue drain") from error
        except (RedisError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"Redis cannot be reached, or refused: {error or type(error).__name__}") from error


def _said(reply: list[bytes]) -> list[bytes]:
    word, *rest = reply
    if (refusal := REFUSALS.get(word.decode())) is not None:
        raise QueueLost(refusal)
    return rest


def _settings_sync(listening: asyncio.Task[int]) -> None:
    """Take notice of how it ended, also if nobody waits any more."""
    if not listening.cancelled():
        listening.exception()


def _fresh() -> int:
    return secrets.randbits(48)


def _flag(flag: bool) -> str:  # noqa: FBT001 - one of two words for a script
    return "1" if flag else ""


def _bounded(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise ValueError(f"a batch of {len(batch)} is longer than {BATCH_MAX}; split it")
