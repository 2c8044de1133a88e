"""The broker that every process uses: the queue in Redis, or the one in the leader's memory, as the epoch says.

One rule makes it safe. A process leases from a source only until ``lease_ms`` after it *began* to read the epoch that
names this source, and no lease that it hands out may be written later than that. A leader that begins an epoch waits
for as long before the first lease of it (see ``leader``). So a process that is frozen, or cut off from the database,
has stopped by itself when another source begins.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from msgspec import structs

from tempogram.engine.failover.ledger_stats import LedgerStats
from tempogram.engine.failover.redis_health import RedisHealth
from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.errors import BrokerUnavailable, NoQueue, QueueLost
from tempogram.engine.model.messages import Done, Lease, Outgoing, Settlement
from tempogram.engine.ports import (
    NO_SCHEMA,
    Admission,
    Broker,
    Clock,
    Epoch,
    Leased,
    LeaseSource,
    Ledger,
    QueueStats,
    Settled,
)
from tempogram.engine.recovery.ended_messages import EndedMessages
from tempogram.engine.resilience.conditions import Condition, Conditions

PAUSE_MS = 1_000
"""How soon a worker asks again when nothing can be leased, unless the source changes before. untuned: a change of the
source wakes it anyway."""

OTHER_VERSION = (
    "another version of tempogram keeps the queue just now; "
    "what is accepted here goes to it through the database, until all processes are of one version"
)
NOT_BEGUN = "no process that sends has begun the queue yet; start one with `tempogram worker`"
NOT_READ = "where leases come from was not read from the database yet"
ONE_SENDER = "one process sends for all, or soon will; what is accepted now goes to it through the database"

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class SharedQueue(Broker, Protocol):
    """The queue of many processes; see ``RedisBroker``."""

    schema: int
    """Version of its keys and records; queues of two schemas know nothing of each other."""

    @property
    def is_off_clock(self) -> bool:
        """Whether its time was so far from that of this process, when it was asked last, that it should be rebuilt."""

    async def begin(self) -> SharedQueue:
        """Throw away any queue there is, and begin an empty one: it admits, and leases after ``restore``.

        Returns:
            That queue alone, to be rebuilt: every verb raises as soon as another has been begun.
        """

    async def probe(self) -> None:
        """Do nothing; raise what a verb would that leases."""

    async def enforce(self, limits: Limits) -> bool:
        """Put these limits in force, as the next version of them; False if they are already."""


def forwarded(
    verb: Callable[Concatenate[Broker, Parameters], Awaitable[Answer]],
) -> Callable[Concatenate[FailoverBroker, Parameters], Coroutine[Any, Any, Answer]]:
    """Return a verb of ``FailoverBroker`` that asks the current source, and notes what that tells of Redis."""
    name = verb.__name__

    async def forward(self: FailoverBroker, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        broker = self._source()
        with self._noted(broker):
            answer: Answer = await getattr(broker, name)(*args, **kwargs)
        return answer

    return forward


class FailoverBroker:
    """See ``Broker``. Every verb raises until the first epoch was read (``follow``).

    ``trouble`` is set when Redis, or the queue in it, begins to be missed; the leader clears it.
    """

    def __init__(
        self, redis: SharedQueue, ledger: Ledger, conditions: Conditions, *, lease_ms: int, clock: Clock
    ) -> None:
        self._redis = redis
        self._conditions = conditions
        self._lease_ms = lease_ms
        self._clock = clock
        self._epoch: Epoch | None = None
        self._read_at_ms = 0
        self._memory: Broker | None = None
        self._memory_leases = False
        self._switched = asyncio.Event()
        self._switches = self._switches_seen = 0  # a sleeper that goes by another source's answer would sleep too long
        self._in_hand: set[str] = set()
        self._ledger_stats = LedgerStats(ledger)
        self._ended = EndedMessages(ledger)
        self._health = RedisHealth(conditions, clock)

    # For the leader, which every process has, though only one leads

    def follow(self, epoch: Epoch, *, read_at_ms: int) -> None:
        """Lease as this epoch says from now on; ``read_at_ms`` is when its reading began. An older one is ignored."""
        if self._epoch is None or epoch.number > self._epoch.number:
            self._epoch = epoch
            self._read_at_ms, self._memory = read_at_ms, None
            self._note_source(epoch)
            self._switch()
        elif epoch.number == self._epoch.number:
            self._read_at_ms = max(self._read_at_ms, read_at_ms)

    def open_memory(self, memory: Broker, epoch: Epoch) -> None:
        """Lease from this process's own memory, as long as it is still this epoch."""
        if self._epoch == epoch and epoch.is_own and epoch.source is LeaseSource.LEADER:
            self._memory, self._memory_leases = memory, True
            self._switch()

    def stop_leasing(self) -> None:
        """Lease nothing more from memory; what is leased is settled there."""
        self._memory_leases = False

    def close_memory(self) -> None:
        self._memory = None
        self._switch()

    @property
    def trouble(self) -> asyncio.Event:
        return self._health.trouble

    @property
    def away_since_ms(self) -> int | None:
        """Since when Redis has not answered, though leases come from it."""
        return self._health.away_since_ms if self._asks_redis() else None

    @property
    def memory(self) -> Broker | None:
        return self._memory

    @property
    def has_leases(self) -> bool:
        """Whether this process has leased messages whose outcome may not be in the ledger yet."""
        return bool(self._in_hand)

    async def probe(self) -> None:
        """Check that Redis has a queue that leases and, if it was missed, admits; raises what a verb would.

        With no slots, and no messages, admitting does nothing.
        """
        was_missed = self._health.is_missed
        with self._noted(self._redis, leases=True):
            await self._redis.probe()
        if not was_missed:
            return
        with self._noted(self._redis, takes_in=True):
            await self._redis.admit((), worker_id="", slots=0)

    def suspect(self) -> None:
        """Have Redis probed soon: another part of this process misses it, and may be the only one that uses it."""
        if self._epoch is not None and self._epoch.source is LeaseSource.REDIS:
            self._health.is_failing = True

    async def probe_if_missed(self) -> None:
        """Check whether Redis is still missed, if it is: an idle process would not find out otherwise."""
        if self._health.is_missed and self._asks_redis():
            await self.probe()

    async def take_out_ended(self) -> None:
        """Remove from the queue what has ended, and it may have a copy of; see ``EndedMessages``."""
        await self._ended.take_out(self.cancel)

    def is_source(self) -> bool:
        """Tell whether leases may be used now: the last check before one is, however long it was extended."""
        return self._leases_until_ms() > self._clock()

    @property
    def is_bypassed(self) -> bool:
        """Whether the queue is one of another version, so that this process only writes to the ledger."""
        return self._epoch is not None and self._epoch.schema not in {self._redis.schema, NO_SCHEMA}

    # See ``Broker``: the verbs that do more than ask the source

    @property
    def incarnation(self) -> int:
        return (self._memory or self._redis).incarnation

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        if self._epoch is not None and _is_unbegun(self._epoch):
            # Only now that a message waits for it: at the very first start it is so for a moment.
            self._conditions.begin(Condition.NOT_BEGUN, NOT_BEGUN)
        broker, until_ms, switches = self._source(), self._leases_until_ms(), self._switches
        slots = slots if until_ms > self._clock() else 0
        try:
            with self._noted(broker, leases=slots > 0, takes_in=True):
                admission = await broker.admit(
                    messages, worker_id=worker_id, slots=slots, connections=connections, capped=capped
                )
        except QueueLost:
            if not slots:
                raise
            # It may be there and lease nothing yet; then it admits, in order.
            with self._noted(broker, takes_in=True):
                admission = await broker.admit(messages, worker_id=worker_id, slots=0, capped=capped)
        return replace(admission, leased=self._taken(admission.leased, until_ms, switches))

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        self._switches_seen = switches = self._switches
        broker, until_ms = self._source(), self._leases_until_ms()
        if until_ms <= self._clock():
            return Leased(wake_at_ms=self._clock() + PAUSE_MS)
        with self._noted(broker, leases=True):
            leased = await broker.lease(worker_id=worker_id, slots=slots, connections=connections)
        return self._taken(leased, until_ms, switches)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """End leases. A message that has ended and was not held any more is noted, until it was taken out.

        The queue was rebuilt while such a message was in flight, and may have it waiting.
        """
        self._in_hand.difference_update(each.lease.message.id for each in settlements)  # the ledger has their outcomes
        ended = [each.lease.message.id for each in settlements if isinstance(each.then, Done)]
        try:
            broker = self._source()
            with self._noted(broker):
                settled = await broker.settle(settlements)
        except BrokerUnavailable:
            self._ended.note(ended)
            raise
        self._ended.forget(ended)
        lost = [each for each, answer in zip(settlements, settled, strict=True) if not answer.held]
        self._ended.note([each.lease.message.id for each in lost if isinstance(each.then, Done)])
        return settled

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        broker, until_ms, switches = self._source(), self._leases_until_ms(), self._switches
        if until_ms <= self._clock():
            return []
        with self._noted(broker, leases=True):
            leases = await broker.recover(worker_id=worker_id, slots=slots)
        return list(self._taken(Leased(leases=tuple(leases)), until_ms, switches).leases)

    async def configure(self, limits: Limits) -> bool:
        """See ``Broker``. In Redis the versions are counted there, as each process has an environment of its own."""
        broker = self._source()
        with self._noted(broker):
            return await (self._redis.enforce(limits) if broker is self._redis else broker.configure(limits))

    async def stats(self) -> QueueStats:
        """See ``Broker``. While the queue cannot be asked, the ledger is; see ``LedgerStats``."""
        if self.away_since_ms is None:  # else each question would wait for an answer first
            try:
                broker = self._source()
                with self._noted(broker):
                    return await broker.stats()
            except BrokerUnavailable:
                pass
        return await self._ledger_stats.stats()

    async def wait(self, until_ms: int | None) -> None:
        """See ``Broker``; never raises, and returns when the source changes. What fails is asked again soon."""
        if self._switches_seen != self._switches:
            return
        self._switched.clear()
        waiting = [asyncio.create_task(self._wait(until_ms)), asyncio.create_task(self._switched.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    # The verbs that only ask the source

    extend = forwarded(Broker.extend)
    hold = forwarded(Broker.hold)
    cancel = forwarded(Broker.cancel)
    amend = forwarded(Broker.amend)
    drop = forwarded(Broker.drop)
    pause = forwarded(Broker.pause)
    weigh = forwarded(Broker.weigh)
    migrate = forwarded(Broker.migrate)
    restore = forwarded(Broker.restore)
    note = forwarded(Broker.note)
    knows = forwarded(Broker.knows)
    explain = forwarded(Broker.explain)

    # Within

    async def _wait(self, until_ms: int | None) -> None:
        is_failing = self._health.is_failing and self._asks_redis()  # the leader's memory does not fail with Redis
        if not is_failing and self._leases_until_ms() > self._clock():
            with contextlib.suppress(BrokerUnavailable):
                # It may return without a word from Redis, so it tells nothing of it.
                await self._source().wait(until_ms)
                return
        await asyncio.sleep(PAUSE_MS / 1_000)

    def _source(self) -> Broker:
        """Return the broker to ask; whether it may lease is another matter."""
        if self._epoch is None:
            raise NoQueue(NOT_READ)
        if self.is_bypassed:
            raise NoQueue(OTHER_VERSION)
        if _is_unbegun(self._epoch):
            raise NoQueue(NOT_BEGUN)
        if self._epoch.source is LeaseSource.REDIS:
            return self._redis
        if self._memory is None:
            raise NoQueue(ONE_SENDER)
        return self._memory

    def _taken(self, leased: Leased, until_ms: int, switches: int) -> Leased:
        """Return what may be used of an answer: nothing, if leases have come from elsewhere since the question."""
        if switches != self._switches:
            return replace(leased, leases=())
        self._in_hand.update(lease.message.id for lease in leased.leases)
        return _until(leased, until_ms)

    def _asks_redis(self) -> bool:
        return self._epoch is not None and self._epoch.source is LeaseSource.REDIS and not self.is_bypassed

    def _leases_until_ms(self) -> int:
        """Return until when leases may be given and used, as far as this process knows; 0 is not at all."""
        if self._epoch is None or self._epoch.schema != self._redis.schema:
            return 0
        if self._epoch.source is LeaseSource.LEADER and not (self._memory and self._memory_leases):
            return 0
        return self._read_at_ms + self._lease_ms

    def _switch(self) -> None:
        self._health.begin_anew()
        self._switches += 1
        self._switched.set()

    def _note_source(self, epoch: Epoch) -> None:
        if epoch.schema == NO_SCHEMA:
            self._health.is_begun = False  # until it leases, as the epoch that follows begins a moment before
        if epoch.source is LeaseSource.LEADER:
            reason = "Redis is away, or the queue in it, of an older version, is replaced; one process sends for all"
            self._conditions.begin(Condition.ONE_SENDER, reason)
        else:
            self._conditions.end(Condition.ONE_SENDER)
        if not _is_unbegun(epoch):
            self._conditions.end(Condition.NOT_BEGUN)
        if self.is_bypassed:
            self._health.forget()
            self._conditions.begin(Condition.OTHER_VERSION, OTHER_VERSION)
        else:
            self._conditions.end(Condition.OTHER_VERSION)

    def _noted(self, broker: Broker, *, leases: bool = False, takes_in: bool = False) -> AbstractContextManager[None]:
        """Note what a verb tells of Redis, if it is Redis that is asked."""
        return self._health.noted(leases=leases, takes_in=takes_in) if broker is self._redis else nullcontext()


def _is_unbegun(epoch: Epoch) -> bool:
    return epoch.source is LeaseSource.REDIS and epoch.schema == NO_SCHEMA


def _until(leased: Leased, until_ms: int) -> Leased:
    return replace(leased, leases=tuple(_shortened(lease, until_ms) for lease in leased.leases))


def _shortened(lease: Lease, until_ms: int) -> Lease:
    return lease if lease.expires_at_ms <= until_ms else structs.replace(lease, expires_at_ms=until_ms)
