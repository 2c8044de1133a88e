"""The schedule as all processes have agreed on it: the one in Redis, or the one in the memory of the keeper.

What makes it safe is one rule. A process leases from a source only until ``lease_ms`` after it *began* to read
the epoch that names this source, and no lease that it hands out may be written later than that. Whoever begins an
epoch waits for as long before the first lease of it (see ``leader``). So a process that is frozen, or cut off from
the database, has stopped by itself when another source begins.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from msgspec import structs

from tempogram.engine.failover.redis_health import RedisHealth
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable, NoQueue, QueueLost
from tempogram.engine.model.messages import ChatId, Done, Hold, Lease, Outgoing, PastSend, Settlement, Spent
from tempogram.engine.ports import (
    NO_SCHEMA,
    Admission,
    Broker,
    Clock,
    Epoch,
    Explanation,
    Leased,
    Ledger,
    QueueStats,
    Settled,
    Source,
)
from tempogram.engine.recovery.ended_messages import EndedMessages
from tempogram.engine.resilience.conditions import Condition, Conditions

PAUSE_MS = 1_000
"""How soon a worker asks again when nothing can be leased, unless the source changes before. A guess."""

OTHER_VERSION = (
    "another version of tempogram keeps the schedule just now; "
    "what is accepted here goes to it through the database, until all processes are of one version"
)
NOT_BEGUN = "no process that sends has begun the schedule yet; start one with `tempogram worker`"
NOT_READ = "where leases come from was not read from the database yet"
ONE_SENDER = "one process sends for all, or soon will; what is accepted now goes to it through the database"

Answer = TypeVar("Answer")


class SharedQueue(Broker, Protocol):
    """The schedule of many processes; see ``RedisBroker``."""

    schema: int
    """Of its keys and records; schedules of two forms know nothing of each other."""

    async def begin(self) -> SharedQueue:
        """Throw away whatever schedule there is, and begin an empty one: it queues, and leases after ``restore``.

        Returns:
            That schedule alone, for who rebuilds it: every verb raises as soon as another has been begun.
        """

    async def enforce(self, limits: Limits) -> bool:
        """Have the schedule act by these limits, as the next version of them; False if it does already."""


class FailoverBroker:
    """See ``Broker``. The keeper tells it what the epoch is; until then every verb raises.

    ``trouble`` is set when Redis, or its schedule, begins to be missed; the keeper clears it.
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
        self._switches = self._switches_seen = 0  # who slept by the answer of another source would sleep too long
        self._ended = EndedMessages(ledger)
        self._health = RedisHealth(conditions, clock)

    # For the keeper

    def read(self, epoch: Epoch, *, at_ms: int) -> None:
        """Go by an epoch from now on; ``at_ms`` is when its reading began. An older one is not heeded."""
        if self._epoch is None or epoch.number > self._epoch.number:
            self._epoch = epoch
            self._read_at_ms, self._memory = at_ms, None
            self._note_source(epoch)
            self._switch()
        elif epoch.number == self._epoch.number:
            self._read_at_ms = max(self._read_at_ms, at_ms)

    def open_memory(self, memory: Broker, epoch: Epoch) -> None:
        """Lease from this process's own memory, as long as it is still this epoch."""
        if self._epoch == epoch and epoch.is_own and epoch.source is Source.KEEPER:
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

    async def probe(self) -> None:
        """Ask Redis whether it has a schedule that leases and takes in; raises what a verb would, and changes nothing.

        Asked by ``recover``, because it is refused where leasing is, and with no slots does nothing.
        """
        await self._ask(self._redis, lambda redis: redis.recover(worker_id="", slots=0), leases=True)
        await self._ask(self._redis, lambda redis: redis.admit((), worker_id="", slots=0), takes_in=True)

    def doubt(self) -> None:
        """Have Redis looked for soon: somebody else in this process misses it, who may be the only one to ask it."""
        if self._epoch is not None and self._epoch.source is Source.REDIS:
            self._health.is_failing = True

    async def look_again(self) -> None:
        """Ask whether Redis is still missed, if it is: in a process that asks nothing of it, nobody else would."""
        if self._health.is_missed and self._asks_redis():
            await self.probe()

    async def take_out_ended(self) -> None:
        """Take out of the schedule what has ended, and it may have a copy of; see ``EndedMessages``."""
        await self._ended.take_out(self.cancel)

    def is_source(self) -> bool:
        """Tell whether leases may be used now: asked last before one is, however long it was extended."""
        return self._leases_until_ms() > self._clock()

    @property
    def is_bypassed(self) -> bool:
        """Whether the schedule is one of another version, so that this process only writes to the ledger."""
        return self._epoch is not None and self._epoch.schema not in {self._redis.schema, NO_SCHEMA}

    # See ``Broker``

    @property
    def incarnation(self) -> int:
        return (self._memory or self._redis).incarnation

    async def admit(
        self, messages: Sequence[Outgoing], *, worker_id: str, slots: int, capped: bool = True
    ) -> Admission:
        if self._epoch is not None and _is_nobodys(self._epoch):
            # Told when somebody waits for it: at the first start of all it is so for a moment.
            self._conditions.begin(Condition.NOT_BEGUN, NOT_BEGUN)
        broker, until_ms = self._source(), self._leases_until_ms()
        slots = slots if until_ms > self._clock() else 0
        try:
            admission = await self._admit(broker, messages, worker_id, slots, capped=capped)
        except QueueLost:
            if not slots:
                raise
            # It may be there and only lease nothing; then it takes messages in, in their order.
            admission = await self._admit(broker, messages, worker_id, 0, capped=capped)
        return replace(admission, leased=_until(admission.leased, until_ms))

    async def lease(self, *, worker_id: str, slots: int) -> Leased:
        self._switches_seen = self._switches
        broker, until_ms = self._source(), self._leases_until_ms()
        if until_ms <= self._clock():
            return Leased(wake_at_ms=self._clock() + PAUSE_MS)
        leased = await self._ask(broker, lambda broker: broker.lease(worker_id=worker_id, slots=slots), leases=True)
        return _until(leased, until_ms)

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        return await self._ask(self._source(), lambda broker: broker.extend(leases, by_ms=by_ms))

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """End leases. What has ended and was not held any more is noted, until somebody has taken it out.

        The schedule was rebuilt while such a message was under way, and may have it waiting.
        """
        ended = [each.lease.message.id for each in settlements if isinstance(each.then, Done)]
        try:
            settled = await self._ask(self._source(), lambda broker: broker.settle(settlements))
        except BrokerUnavailable:
            self._ended.note(ended)
            raise
        self._ended.forget(ended)
        lost = [each for each, answer in zip(settlements, settled, strict=True) if not answer.held]
        self._ended.note([each.lease.message.id for each in lost if isinstance(each.then, Done)])
        return settled

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        broker, until_ms = self._source(), self._leases_until_ms()
        if until_ms <= self._clock():
            return []
        leases = await self._ask(broker, lambda broker: broker.recover(worker_id=worker_id, slots=slots), leases=True)
        return [_shortened(lease, until_ms) for lease in leases]

    async def hold(self, holds: Sequence[Hold]) -> None:
        await self._ask(self._source(), lambda broker: broker.hold(holds))

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        return await self._ask(self._source(), lambda broker: broker.cancel(message_ids))

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        return await self._ask(self._source(), lambda broker: broker.drop(bot_id, chat_id, replaces))

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        await self._ask(self._source(), lambda broker: broker.pause(bot_id, paused=paused))

    async def weigh(self, bot_id: int, weight: int) -> None:
        await self._ask(self._source(), lambda broker: broker.weigh(bot_id, weight))

    async def configure(self, limits: Limits) -> bool:
        """See ``Broker``. In Redis its keeper counts the versions, as each process has an environment of its own."""
        source = self._source()
        if source is self._redis:
            return await self._ask(source, lambda _: self._redis.enforce(limits))
        return await self._ask(source, lambda broker: broker.configure(limits))

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        await self._ask(self._source(), lambda broker: broker.migrate(bot_id, from_chat_id, to_chat_id))

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        await self._ask(self._source(), lambda broker: broker.restore(sends, wait_until_ms=wait_until_ms, spent=spent))

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        await self._ask(self._source(), lambda broker: broker.note(sends, spent=spent))

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        return await self._ask(self._source(), lambda broker: broker.knows(message_ids))

    async def explain(self, message_id: str) -> Explanation | None:
        return await self._ask(self._source(), lambda broker: broker.explain(message_id))

    async def stats(self) -> QueueStats:
        return await self._ask(self._source(), lambda broker: broker.stats())

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

    # Within

    async def _wait(self, until_ms: int | None) -> None:
        if not self._health.is_failing and self._leases_until_ms() > self._clock():
            with contextlib.suppress(BrokerUnavailable):
                await self._source().wait(until_ms)  # it may return without having asked anybody, so it tells nothing
                return
        await asyncio.sleep(PAUSE_MS / 1_000)

    def _source(self) -> Broker:
        """Return whom to ask; whether leases may be given is another matter."""
        if self._epoch is None:
            raise NoQueue(NOT_READ)
        if self.is_bypassed:
            raise NoQueue(OTHER_VERSION)
        if _is_nobodys(self._epoch):
            raise NoQueue(NOT_BEGUN)
        if self._epoch.source is Source.REDIS:
            return self._redis
        if self._memory is None:
            raise NoQueue(ONE_SENDER)
        return self._memory

    def _asks_redis(self) -> bool:
        return self._epoch is not None and self._epoch.source is Source.REDIS and not self.is_bypassed

    def _leases_until_ms(self) -> int:
        """Return until when leases may be given and used, as far as this process knows; 0 is not at all."""
        if self._epoch is None or self._epoch.schema != self._redis.schema:
            return 0
        if self._epoch.source is Source.KEEPER and not (self._memory and self._memory_leases):
            return 0
        return self._read_at_ms + self._lease_ms

    async def _admit(
        self, broker: Broker, messages: Sequence[Outgoing], worker_id: str, slots: int, *, capped: bool
    ) -> Admission:
        return await self._ask(
            broker,
            lambda broker: broker.admit(messages, worker_id=worker_id, slots=slots, capped=capped),
            leases=slots > 0,
            takes_in=True,
        )

    def _switch(self) -> None:
        self._health.begin_anew()
        self._switches += 1
        self._switched.set()

    def _note_source(self, epoch: Epoch) -> None:
        if epoch.schema == NO_SCHEMA:
            self._health.is_begun = False  # until it leases, as the epoch that follows begins a moment before
        if epoch.source is Source.KEEPER:
            reason = "Redis is away, or its schedule of an older version is replaced; one process sends for all"
            self._conditions.begin(Condition.ONE_SENDER, reason)
        else:
            self._conditions.end(Condition.ONE_SENDER)
        if not _is_nobodys(epoch):
            self._conditions.end(Condition.NOT_BEGUN)
        if self.is_bypassed:
            self._health.forget()
            self._conditions.begin(Condition.OTHER_VERSION, OTHER_VERSION)
        else:
            self._conditions.end(Condition.OTHER_VERSION)

    async def _ask(
        self,
        broker: Broker,
        verb: Callable[[Broker], Awaitable[Answer]],
        *,
        leases: bool = False,
        takes_in: bool = False,
    ) -> Answer:
        """Have a verb done, and note what that tells of Redis."""
        if broker is not self._redis:
            return await verb(broker)
        with self._health.noted(leases=leases, takes_in=takes_in):
            return await verb(broker)


def _is_nobodys(epoch: Epoch) -> bool:
    return epoch.source is Source.REDIS and epoch.schema == NO_SCHEMA


def _until(leased: Leased, until_ms: int) -> Leased:
    return replace(leased, leases=tuple(_shortened(lease, until_ms) for lease in leased.leases))


def _shortened(lease: Lease, until_ms: int) -> Lease:
    return lease if lease.expires_at_ms <= until_ms else structs.replace(lease, expires_at_ms=until_ms)
