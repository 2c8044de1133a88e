"""The engine of one process: real parts between a scripted network and a ledger in memory, on a clock to advance."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import structs

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import (
    ChatId,
    Guarantee,
    Lease,
    Outgoing,
    Settlement,
    Status,
)
from tempogram.engine.model.outcomes import Answer, Outcome, Overdue, Sent
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import (
    Admission,
    Broker,
    Clock,
    Leased,
    Ledger,
    MayWrite,
    References,
    Result,
    Settled,
)
from tempogram.engine.ports.changes import Change
from tempogram.engine.ports.watcher import Watcher
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.recovery.rebuild import rebuild
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.delivery import Delivery, nothing
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.recoverer import Recoverer
from tempogram.engine.sending.slots import NoWorker, SlotSource
from tempogram.engine.sending.worker import Worker
from tests.fakes import Clock as FakeClock
from tests.fakes import FlakyLedger, outgoing
from tests.memory_erasures import MemoryErasures

LEASE_MS = 30_000
UNLIMITED = Limits(
    ceiling=Limit(0, 1_000), bot=Limit(0, 1_000), chat=Limit(0, 1_000), group=Limit(0, 60_000), guard_ms=0
)
WITHIN_S = 5.0

Reply = Outcome | Answer | Exception


class ScriptedTransport:
    """Stands in for Telegram: gives the scripted answers in turn, then ``Sent``.

    After ``close`` an answer waits until ``open``; after ``unpack`` no byte is written before ``pack``.
    """

    def __init__(self, clock: Clock, journal: list[str]) -> None:
        self._clock = clock
        self._journal = journal
        self.script: deque[Reply] = deque()
        self.leases: list[Lease] = []
        self.arrived = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._packed = asyncio.Event()
        self._packed.set()

    @property
    def ids(self) -> list[str]:
        return [lease.message.id for lease in self.leases]

    def answers(self, *replies: Reply) -> None:
        self.script.extend(replies)

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def unpack(self) -> None:
        self._packed.clear()

    def pack(self) -> None:
        self._packed.set()

    def reply_to(self, lease: Lease) -> Reply:
        return self.script.popleft() if self.script else Sent(len(self.leases))

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        self._journal.append("send")
        await self._packed.wait()
        if not may_write():
            return Answer(Overdue(), counted_at_ms=None)
        self.leases.append(lease)
        self.arrived.set()
        reply = self.reply_to(lease)
        await self._open.wait()
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Answer):
            return reply
        return Answer(reply, None if isinstance(reply, Overdue) else self._clock())


class WatchedBroker(MemoryBroker):
    """The real queue in memory, which notes how it is called. Its ``wait`` ends only by ``ring``.

    ``asleep``: it cannot be reached; ``is_deaf``: only ``wait`` fails.
    """

    def __init__(self, limits: Limits, *, clock: Clock, journal: list[str]) -> None:
        super().__init__(limits, clock=clock, lease_ms=LEASE_MS, incarnation=1)
        self._refusals = 0
        self._journal = journal
        self.asleep = False
        self.is_deaf = False
        self.before_settling: Callable[[], Awaitable[None]] | None = None
        self.asked = 0
        self.waits: list[int | None] = []
        self.slots_asked: list[int] = []
        self.extended: list[Lease] = []
        self.extending = asyncio.Event()
        self.resting = asyncio.Event()

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        self._wake()
        return await super().admit(messages, worker_id=worker_id, slots=slots, connections=connections, capped=capped)

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        self.asked += 1
        self._wake()
        self.slots_asked.append(slots)
        return await super().lease(worker_id=worker_id, slots=slots, connections=connections)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        self._wake()
        self._journal.append("settle")
        if self.before_settling is not None:
            await self.before_settling()
        return await super().settle(settlements)

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        self._wake()
        return await super().amend(messages)

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        self._wake()
        return await super().drop(bot_id, chat_id, replaces)

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        self.extended.extend(leases)
        self.extending.set()
        self._wake()
        return await super().extend(leases, by_ms=by_ms)

    async def wait(self, until_ms: int | None) -> None:
        self._wake()
        if self.is_deaf:
            raise BrokerUnavailable("wait fails")
        self.waits.append(until_ms)
        self.resting.set()
        await super().wait(None)
        self.resting.clear()

    def begin_anew(self) -> None:
        """Forget everything, as a queue that is rebuilt does, and refuse all leases from before."""
        super().__init__(
            self._queue.limits, clock=self._queue.clock, lease_ms=LEASE_MS, incarnation=self.incarnation + 1
        )

    def away_for(self, calls: int) -> None:
        """Refuse so many calls from now on."""
        self._refusals = calls

    def ring(self) -> None:
        """End ``wait``, as the time would."""
        self._wakeup.ring()

    def _wake(self) -> None:
        if self.asleep or self._refusals:
            self._refusals = max(0, self._refusals - 1)
            raise BrokerUnavailable("the queue is away")


class RecordedChanges(MemoryChanges):
    """Keeps every change that was announced."""

    def __init__(self) -> None:
        self.announced: list[Change] = []

    async def announce(self, item: Change) -> None:
        self.announced.append(item)


class JournaledResults(MemoryResults):
    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self._journal = journal
        self.is_deaf = False  # results are lost

    async def publish(self, result: Result) -> None:
        self._journal.append("publish")
        if not self.is_deaf:
            await super().publish(result)

    @property
    def awaited(self) -> int:
        return len(self._waiting)


class Desk:
    """The engine of one process, put together for one test. ``journal`` lists its calls, in order."""

    def __init__(
        self,
        *,
        limits: Limits = UNLIMITED,
        retries: RetryPolicy | None = None,
        slots: int = 4,
        transport: type[ScriptedTransport] = ScriptedTransport,
    ) -> None:
        self.clock = FakeClock()
        self.limits = limits
        self.journal: list[str] = []
        self.slept: list[float] = []
        self._awake = asyncio.Event()
        self._awake.set()
        self.transport = transport(self.clock, self.journal)
        self.ledger = FlakyLedger(self.clock, self.journal)
        self.broker = WatchedBroker(limits, clock=self.clock, journal=self.journal)
        self.results = JournaledResults(self.journal)
        self.deaf: set[int] = set()  # bots whose updates another process gets
        self.makes_needless: Callable[[Outgoing], Sequence[str]] = nothing
        self.park: Callable[[Outgoing], Awaitable[None]] | None = None
        self.changes = RecordedChanges()
        self.conditions = Conditions(self.clock)
        self.closer = Closer(
            ledger=self.ledger,
            broker=self.broker,
            results=self.results,
            conditions=self.conditions,
            clock=self.clock,
            sleep=self._sleep,
        )
        self.erasures = MemoryErasures()
        self.reachability = Reachability(
            ledger=self.ledger,
            closer=self.closer,
            changes=self.changes,
            clock=self.clock,
            hears=lambda bot_id, _: bot_id not in self.deaf,
            erasures=self.erasures,
        )
        self.eraser = ChatEraser(
            self.erasures, reachability=self.reachability, closer=self.closer, ledger=self.ledger, clock=self.clock
        )
        self.circuit_breaker = CircuitBreaker("api.test", clock=self.clock, conditions=self.conditions)
        self.pending_admissions = PendingAdmissions(ledger=self.ledger, broker=self.broker, closer=self.closer)
        self.delivery = Delivery(
            transport=self.transport,
            ledger=self.ledger,
            broker=self.broker,
            results=self.results,
            closer=self.closer,
            reachability=self.reachability,
            retries=retries or RetryPolicy(),
            retry_after_ms_max=300_000,
            clock=self.clock,
            conditions=self.conditions,
            circuit_breaker=self.circuit_breaker,
            pending_admissions=self.pending_admissions,
            makes_needless=self._makes_needless,
            park=self._park,
            sleep=self._sleep,
        )
        self.worker = self.new_worker(slots=slots)
        self.metrics = Metrics()
        self.dispatcher = self.new_dispatcher()
        self.recoverer = Recoverer(
            broker=self.broker,
            delivery=self.delivery,
            worker_id="r",
            interval_ms=LEASE_MS // 2,
            conditions=self.conditions,
            clock=self.clock,
        )

    async def _park(self, message: Outgoing) -> None:
        if self.park is not None:
            await self.park(message)

    def _makes_needless(self, message: Outgoing) -> Sequence[str]:
        return self.makes_needless(message)

    def new_worker(
        self, *, slots: int, lease_ms: int = LEASE_MS, is_source: Callable[[], bool] | None = None
    ) -> Worker:
        return Worker(
            broker=self.broker,
            delivery=self.delivery,
            closer=self.closer,
            worker_id="w",
            slots=slots,
            lease_ms=lease_ms,
            is_source=is_source,
            clock=self.clock,
            sleep=self._sleep_by_the_clock,
        )

    def new_dispatcher(
        self,
        *,
        worker: SlotSource | None = None,
        ledger: Ledger | None = None,
        broker: Broker | None = None,
        references: References | None = None,
        watcher: Watcher | None = None,
    ) -> Dispatcher:
        """Return a dispatcher that sends nothing by itself, unless it is given a worker."""
        pending_admissions = self.pending_admissions
        if ledger or broker:
            ledger, broker = ledger or self.ledger, broker or self.broker
            pending_admissions = PendingAdmissions(ledger=ledger, broker=broker, closer=self.closer)
        return Dispatcher(
            ledger=ledger or self.ledger,
            broker=broker or self.broker,
            reachability=self.reachability,
            closer=self.closer,
            worker=worker or NoWorker(),
            pending_admissions=pending_admissions,
            conditions=self.conditions,
            count_drops=self.metrics.count_drops,
            references=references,
            watcher=watcher,
        )

    async def accept(self, *messages: Outgoing) -> None:
        """Submit messages; none is leased."""
        await self.dispatcher.submit(messages)

    async def admit(self, *messages: Outgoing) -> None:
        """Admit messages as if they had been accepted before, though the ledger may be away."""
        self.ledger.messages.update({message.id: message for message in messages})
        self.ledger.statuses.update(dict.fromkeys((message.id for message in messages), Status.QUEUED))
        await self.broker.admit(messages, worker_id="", slots=0)

    def ledger_falls_asleep(self) -> None:
        """Let every write be refused, and every retry wait for ``ledger_wakes_up``."""
        self.ledger.asleep = True
        self._awake.clear()

    def ledger_wakes_up(self) -> None:
        self.ledger.asleep = False
        self._awake.set()

    @property
    def sent(self) -> list[str]:
        """The ids of all messages that reached Telegram, in order, whatever it answered."""
        return self.transport.ids

    async def work(self) -> None:
        """Send everything that may go now, one after the other."""
        while leases := await self.leases():
            for lease in leases:
                await self.send(lease)

    async def restart(self) -> None:
        """Lose the queue, as a crash does, and rebuild it from the ledger."""
        self.broker.begin_anew()
        await rebuild(self.ledger, self.broker, self.closer, self.limits, self.clock)

    async def leases(self, slots: int = 50) -> list[Lease]:
        return list((await self.broker.lease(worker_id="w", slots=slots)).leases)

    async def lease(self) -> Lease:
        (lease,) = await self.leases(1)
        return lease

    async def leased(self, message: Outgoing) -> Lease:
        await self.accept(message)
        return await self.lease()

    async def deliver(self, *replies: Reply, message: Outgoing | None = None) -> Outcome:
        """Submit one message and make its calls, with these answers."""
        self.transport.answers(*replies)
        return await self.send(await self.leased(message or outgoing("a")))

    def held(self, lease: Lease) -> HeldLease:
        return HeldLease(lease, lease.expires_at_ms, self.clock)

    async def send(self, lease: Lease) -> Outcome:
        return await self.delivery.deliver(self.held(lease), on_answer=lambda _: None)

    async def _sleep(self, seconds: float) -> None:
        await self._awake.wait()
        self.slept.append(seconds)
        self.clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)

    async def _sleep_by_the_clock(self, seconds: float) -> None:
        """Sleep until a test has advanced the clock so far."""
        until_ms = self.clock() + round(seconds * 1_000)
        while self.clock() < until_ms:  # noqa: ASYNC110 - the clock has no event
            await asyncio.sleep(0)


def at_most_once(message: Outgoing) -> Outgoing:
    return structs.replace(message, guarantee=Guarantee.AT_MOST_ONCE)


async def soon(event: asyncio.Event) -> None:
    """Wait for an event; a test that would hang fails instead."""
    await asyncio.wait_for(event.wait(), WITHIN_S)


async def turns(count: int = 20) -> None:
    """Let all other tasks run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker until the block ends."""
    task = asyncio.create_task(worker.run())
    await turns()
    try:
        yield task
    finally:
        worker.stop()
        task.cancel()
        await asyncio.wait([task], timeout=WITHIN_S)
