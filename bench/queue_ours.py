"""A worker of Tempogram whose transport does nothing, so many times; or the process that fills its queue.

    python -m bench.queue_ours <fill|work> <redis url> <database url, or none> <count> <concurrency>

It prints the same as ``clients/queue_peer.py``. Without a database there is no ledger at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvloop

from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.model.outcomes import Answer, Sent
from tempogram.engine.ports import Ledger, MayWrite, Record, SystemClock
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.worker import Worker
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.ledger.memory_ledger import MemoryLedger

LEASE_MS = 30_000
NONE = Limit(0, 1_000)
LIMITS = Limits(ceiling=NONE, bot=NONE, chat=NONE, group=NONE, chat_cap=0, bot_cap=0)
PARAMS = b'{"text":"' + b"x" * 280 + b'"}'


class Tally:
    """A transport that answers at once, and notes when the first call came."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self.since: tuple[float, float] | None = None

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:  # noqa: ARG002 - to do nothing is the work
        if self.since is None:
            self.since = time.perf_counter(), time.process_time()
        return Answer(Sent(1), self._clock())


class NoLedger(MemoryLedger):
    """Records nothing, so that the queue is measured alone."""

    async def record(self, records: Sequence[Record]) -> None:
        pass


@asynccontextmanager
async def ledger_of(database_url: str) -> AsyncIterator[Ledger]:
    if database_url == "none":
        yield NoLedger()
        return
    database = await Database.open(database_url)
    try:
        yield SqlLedger(database)
    finally:
        await database.close()


async def fill(broker: RedisBroker, ledger: Ledger, count: int) -> None:
    clock, ids = SystemClock(), Ids()
    for start in range(0, count, BATCH_MAX):
        messages = [
            Outgoing(
                id=ids.new(clock()),
                bot_id=1,
                chat_id=number + 1,
                method="sendMessage",
                params=PARAMS,
                submitted_at_ms=clock(),
            )
            for number in range(start, start + BATCH_MAX)
        ]
        if isinstance(ledger, SqlLedger):
            await ledger.add(messages)
        await broker.admit(messages, worker_id="fill", slots=0)


async def work(broker: RedisBroker, ledger: Ledger, concurrency: int) -> None:
    """Work until nothing waits and nothing is leased any more."""
    clock, results = SystemClock(), MemoryResults()
    transport = Tally(clock)
    conditions = Conditions(clock)
    closer = Closer(ledger=ledger, broker=broker, results=results, conditions=conditions, clock=clock)
    delivery = Delivery(
        transport=transport,
        ledger=ledger,
        broker=broker,
        results=results,
        closer=closer,
        reachability=Reachability(
            ledger=ledger, closer=closer, changes=MemoryChanges(), clock=clock, hears=lambda *_: True
        ),
        retries=RetryPolicy(),
        retry_after_ms_max=300_000,
        conditions=conditions,
        circuit_breaker=CircuitBreaker("Telegram", clock=clock, conditions=conditions),
        pending_admissions=PendingAdmissions(ledger=ledger, broker=broker, closer=closer),
        clock=clock,
    )
    worker = Worker(
        broker=broker,
        delivery=delivery,
        closer=closer,
        worker_id=f"work-{os.getpid()}",
        slots=concurrency,
        lease_ms=LEASE_MS,
        clock=clock,
    )
    working = asyncio.create_task(worker.run())
    while True:
        await asyncio.sleep(0.02)
        stats = await broker.stats()
        if not sum(stats.waiting.values()):
            break
    assert transport.since is not None
    wall_s, cpu_s = transport.since
    took = {"took_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}
    sys.stdout.write(json.dumps(took) + "\n")
    sys.stdout.flush()
    worker.stop()
    await working


async def run(role: str, redis_url: str, database_url: str, count: int, concurrency: int) -> None:
    async with connect(redis_url) as redis, ledger_of(database_url) as ledger:
        broker = RedisBroker(redis, LIMITS, lease_ms=LEASE_MS, begins=True)
        if role == "fill":
            await fill(broker, ledger, count)
        else:
            await work(broker, ledger, concurrency)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        its_role, to_redis, to_database, how_many, at_once = sys.argv[1:]
        runner.run(run(its_role, to_redis, to_database, int(how_many), int(at_once)))
