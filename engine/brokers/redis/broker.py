"""The queue of many processes, in one Redis; the ledger stays the truth about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from tempogram.engine.brokers.redis import codec
from tempogram.engine.brokers.redis.calls import PAGE, REFUSALS, Calls, fresh_incarnation
from tempogram.engine.brokers.redis.clock_gap import ClockGap
from tempogram.engine.brokers.redis.keys import SCHEMA, chat_name, lanes
from tempogram.engine.brokers.redis.ownership import Ownership
from tempogram.engine.brokers.redis.wakeup import Wakeup
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.batching import batches
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import QueueLost
from tempogram.engine.model.messages import ChatId, Hold, Lease, Outgoing, PastSend, Settlement, Spent
from tempogram.engine.ports.broker import BATCH_MAX, Admission, Leased, QueueStats, Settled
from tempogram.engine.ports.explanation import Explanation


class RedisBroker:
    """See ``Broker``. Each verb is a script of its name; the codec writes its arguments and reads its answer.

    If an answer is lost on its way, ``BrokerUnavailable`` is raised though the verb may have been carried out:
    an admission that is repeated is a duplicate then, and a lease that did not arrive is recovered.

    Args:
        redis: See ``connect``; it needs a connection for each verb at once, and one for each sleeping worker.
        clock: For tests. Without one the time is that of Redis, about which no two processes disagree.
        incarnation: Of the queue, if it is this broker that begins one.
        begins: If there is no queue at the first call, begin an empty one and lease from it at once: for a program
            that has no ledger. Otherwise every verb raises ``QueueLost`` until a process has called ``begin`` and
            ``restore``.
        schema: Of its keys and records. A test gives another one.
        knows_no_other: Every verb raises if the queue is of another incarnation.
        ownership: The ledger to which the queue belongs: every verb raises if it is another's. None: a program that has
            no ledger.
        clock_gap: A queue that is begun here goes by its clock; it is given the time of the queue.
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
        ownership: Ownership | None = None,
        clock_gap: ClockGap | None = None,
    ) -> None:
        self.schema = schema
        self._redis = redis
        self._limits = limits
        self._lease_ms = lease_ms
        self._clock = clock
        self._ownership = ownership
        self._clock_gap = clock_gap
        self._calls = Calls(
            redis,
            limits,
            clock=clock,
            schema=schema,
            incarnation=fresh_incarnation() if incarnation is None else incarnation,
            begins="open" if begins else "",
            knows_no_other=knows_no_other,
            ownership=ownership,
            own_clock=None if clock_gap is None else clock_gap.own_clock,
        )
        self._wakeup = Wakeup(self._calls, clock=clock)

    @property
    def incarnation(self) -> int:
        return self._calls.incarnation

    async def begin(self) -> RedisBroker:
        """See ``SharedQueue``. What an older schema has left is thrown away too."""
        incarnation = fresh_incarnation()
        await self._calls.clear(incarnation)
        await self._calls.meet("barred", incarnation)
        return RedisBroker(
            self._redis,
            self._limits,
            lease_ms=self._lease_ms,
            clock=self._clock,
            incarnation=incarnation,
            schema=self.schema,
            knows_no_other=True,
            ownership=self._ownership,
            clock_gap=self._clock_gap,
        )

    @property
    def is_off_clock(self) -> bool:
        """See ``SharedQueue``."""
        return self._clock_gap is not None and self._clock_gap.is_off

    async def claim(self) -> None:
        """Claim Redis for this ledger, before any verb; raises ``QueueOfAnother`` if it is another's."""
        await self._calls.claim()

    async def probe(self) -> None:
        """See ``SharedQueue``."""
        await self._calls("probe")

    async def enforce(self, limits: Limits) -> bool:
        """Let these limits hold, as the next version of them; False if they do already."""
        kept = await self._calls.command("GET", f"{self._calls.prefix}limits")
        if kept is None:
            raise QueueLost(REFUSALS["gone"])
        version = codec.version_of(kept)
        if kept == codec.limits_record(replace(limits, version=version)):
            return False
        return await self.configure(replace(limits, version=version + 1))

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        _check_size(messages)
        shared_out, rows = codec.connections_row(connections, slots), codec.message_rows(messages)
        asked_at_ms = self._own_ms()
        said, records = await self._calls(
            "admit", worker_id, slots, self._lease_ms, shared_out, codec.flag(capped), *rows
        )
        self._note_time(asked_at_ms, said[1])
        return codec.admission_of(said, messages, records, worker_id=worker_id)

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        shared_out = codec.connections_row(connections, slots)
        asked_at_ms = self._own_ms()
        said, records = await self._calls("lease", worker_id, slots, self._lease_ms, shared_out)
        *_, rings, self._calls.incarnation, now_ms, _ = said
        self._wakeup.note_lease(rings, now_ms)
        self._note_time(asked_at_ms, said)
        return codec.leased_of(said, records, worker_id=worker_id)

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        _check_size(leases)
        said, _ = await self._calls("extend", by_ms, codec.rows(codec.lease_row, leases))
        return list(said)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        _check_size(settlements)
        said, _ = await self._calls("settle", *codec.settlement_rows(settlements))
        return [codec.settled_of(row) for row in said]

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        (said, incarnation), records = await self._calls("recover", worker_id, slots, self._lease_ms)
        return codec.leases_of(said, records, worker_id=worker_id, incarnation=incarnation)

    async def hold(self, holds: Sequence[Hold]) -> None:
        for page in batches(holds, PAGE):
            await self._calls("hold", codec.rows(codec.hold_row, page))

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        _check_size(message_ids)
        said, _ = await self._calls("cancel", *message_ids)
        return list(said)

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        _check_size(messages)
        said, _ = await self._calls("amend", *codec.amendment_rows(messages))
        return list(said)

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        dropped: list[Outgoing] = []
        while True:
            said, records = await self._calls("drop", bot_id, chat_name(chat_id), replaces)
            dropped += codec.messages_of(said, records)
            if len(said) < BATCH_MAX:
                return dropped

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        await self._calls("pause", bot_id, codec.flag(paused))

    async def weigh(self, bot_id: int, weight: int) -> None:
        await self._calls("weigh", bot_id, weight)

    async def configure(self, limits: Limits) -> bool:
        (bot_ids,), _ = await self._calls("configure", limits.version, codec.limits_record(limits))
        if bot_ids is False:
            return False
        for bot_id in bot_ids:
            await self._reoffer(bot_id)
        return True

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        await self._calls("migrate", bot_id, chat_name(from_chat_id), chat_name(to_chat_id))

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        await self.note(sends, spent=spent)
        for page in batches([(str(bot_id), at_ms) for bot_id, at_ms in wait_until_ms.items()], PAGE):
            await self._calls("restore", codec.pack(page), "")
        await self._calls("restore", codec.NO_ROWS, "1")  # these were all

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        for paid in batches(sorted(spent, key=lambda each: each.at_ms), PAGE):
            await self._calls("note", codec.rows(codec.spent_row, paid), codec.NO_ROWS)
        for page in batches(sends, PAGE):
            await self._calls("note", codec.NO_ROWS, codec.rows(codec.send_row, page))

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        _check_size(message_ids)
        said, _ = await self._calls("knows", *message_ids)
        return list(said)

    async def explain(self, message_id: str) -> Explanation | None:
        said, _ = await self._calls("explain", message_id)
        return codec.explanation_of(message_id, said)

    async def stats(self) -> QueueStats:
        said, _ = await self._calls("stats")
        return codec.stats_of(said)

    async def wait(self, until_ms: int | None) -> None:
        await self._wakeup.wait(until_ms)

    def _own_ms(self) -> int:
        return 0 if self._clock_gap is None else self._clock_gap.own_clock()

    def _note_time(self, asked_at_ms: int, leased: codec.Row) -> None:
        if self._clock_gap is not None:
            *_, now_ms, ahead_ms = leased
            self._clock_gap.note(asked_at_ms=asked_at_ms, now_ms=now_ms, ahead_ms=ahead_ms)

    async def _reoffer(self, bot_id: str) -> None:
        """Look again at every lane of a bot that waits, page by page."""
        for index in range(3):
            async for chats in self._calls.scan("SSCAN", self._calls.prefix + lanes(bot_id, index)):
                await self._calls("reoffer", bot_id, *chats)


def _check_size(batch: Sequence[object]) -> None:
    if len(batch) > BATCH_MAX:
        raise ValueError(f"a batch of {len(batch)} is longer than {BATCH_MAX}; split it")
