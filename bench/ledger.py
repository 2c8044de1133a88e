"""What does the ledger cost?

Question    How many messages a second can be written and settled, and how much later does a message leave because
            it is in the ledger and was admitted first?
Workload    Throughput: 20,000 messages from 200 concurrent callers, each added and then recorded as sent. Delay:
            1,000 messages, one every 5 ms, each to its own chat, limits off, from ``Dispatcher.submit`` to the
            moment at which the transport is called; SQLite and PostgreSQL one after the other in one run, 3 rounds.
Measured    Wall time and CPU time of this process.
Not measured  The database server's own CPU; a disk that must turn (SQLite: WAL, synchronous=NORMAL).
Checked     Every message is in the ledger as sent, once. Ideal delay: 0 ms; the design allows milliseconds, not tens.

    python -m bench.ledger      (PostgreSQL: TEST_POSTGRES_URL, else left out and said so)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import func, select

from bench.harness import Checks, main, quantile, spread
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Lease, Outgoing, Status
from tempogram.engine.model.outcomes import Answer, Overdue, Sent
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import MayWrite, Record, SystemClock
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.worker import Worker
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import messages
from tempogram.storage.ledger.ledger import SqlLedger

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres")
ROUNDS, MESSAGES, CALLERS = 3, 20_000, 200
DIRECT, EVERY_S = 1_000, 0.005
NO_LIMITS = Limits(
    ceiling=Limit(0, 1_000), bot=Limit(0, 1_000), chat=Limit(0, 1_000), group=Limit(0, 1_000), chat_cap=0, bot_cap=0
)
PARAMS = b'{"text":"' + b"x" * 280 + b'"}'


class InstantTransport:
    """Notes when it was called, and answers at once."""

    def __init__(self, clock: SystemClock) -> None:
        self.called_s: dict[str, float] = {}
        self._clock = clock

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        if not may_write():
            return Answer(Overdue(), None)
        self.called_s[lease.message.id] = time.perf_counter()
        return Answer(Sent(1), self._clock())


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    for name, opened in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        rates, cpu_us, medians, p99s = [], [], [], []
        for _ in range(ROUNDS):
            async with opened() as database:
                if database is None:
                    print(f"  {name}: no server at TEST_POSTGRES_URL; left out")
                    break
                rate, each_us = await throughput(database)
                rates.append(rate)
                cpu_us.append(each_us)
                delays_ms = await delays(database)
                medians.append(statistics.median(delays_ms))
                p99s.append(quantile(delays_ms, 0.99))
                checks.that(
                    await sent_count(database) == MESSAGES + DIRECT,
                    f"{name}: every message is in the ledger as sent, once",
                )
        if rates:
            print(
                f"  {name}: written and settled {spread(rates, '/s', digits=0)}; CPU {spread(cpu_us, 'us', digits=0)}"
            )
            print(
                f"  {name}: added delay, median {spread(medians, 'ms', digits=2)}, p99 {spread(p99s, 'ms', digits=2)}"
            )
            checks.that(statistics.median(medians) < 10, f"{name}: the median delay is milliseconds, not tens")


async def sent_count(database: Database) -> int:
    is_sent = messages.c.status == Status.SENT.value
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(messages).where(is_sent))).scalar_one())


async def throughput(database: Database) -> tuple[float, float]:
    """Return messages a second, and CPU microseconds of this process for each."""
    ledger, ids, clock = SqlLedger(database), Ids(), SystemClock()

    async def caller(number: int) -> None:
        for turn in range(MESSAGES // CALLERS):
            message = outgoing(ids.new(clock()), number * 1_000 + turn, clock())
            await ledger.add([message])
            await ledger.record([sent(message, clock())])

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return MESSAGES / wall_s, cpu_s / MESSAGES * 1e6


async def delays(database: Database) -> list[float]:
    """Return how much later, ms, each message left than it was submitted."""
    clock, ids = SystemClock(), Ids()
    ledger, results, transport = SqlLedger(database), MemoryResults(), InstantTransport(clock)
    broker = MemoryBroker(NO_LIMITS, clock=clock, lease_ms=30_000)
    conditions = Conditions(clock)
    closer = Closer(ledger=ledger, broker=broker, results=results, conditions=conditions, clock=clock)
    reachability = Reachability(
        ledger=ledger, closer=closer, changes=MemoryChanges(), clock=clock, hears=lambda *_: True
    )
    pending_admissions = PendingAdmissions(ledger=ledger, broker=broker, closer=closer)
    delivery = Delivery(
        transport=transport,
        ledger=ledger,
        broker=broker,
        results=results,
        closer=closer,
        reachability=reachability,
        retries=RetryPolicy(),
        retry_after_ms_max=300_000,
        conditions=conditions,
        circuit_breaker=CircuitBreaker("Telegram", clock=clock, conditions=conditions),
        pending_admissions=pending_admissions,
        clock=clock,
    )
    worker = Worker(
        broker=broker, delivery=delivery, closer=closer, worker_id="w", slots=100, lease_ms=30_000, clock=clock
    )
    dispatcher = Dispatcher(
        ledger=ledger,
        broker=broker,
        reachability=reachability,
        closer=closer,
        worker=worker,
        pending_admissions=pending_admissions,
        conditions=conditions,
        count_drops=Metrics().count_drops,
    )
    loop = asyncio.create_task(worker.run())
    submitted_s: dict[str, float] = {}
    for chat in range(1, DIRECT + 1):
        message = outgoing(ids.new(clock()), chat, clock())
        submitted_s[message.id] = time.perf_counter()
        await dispatcher.submit([message])
        await asyncio.sleep(EVERY_S)
    await asyncio.sleep(0.1)
    worker.stop()
    await loop
    return [(transport.called_s[message_id] - at_s) * 1_000 for message_id, at_s in submitted_s.items()]


def outgoing(message_id: str, chat: int, now_ms: int) -> Outgoing:
    return Outgoing(id=message_id, bot_id=1, chat_id=chat, method="sendMessage", params=PARAMS, submitted_at_ms=now_ms)


def sent(message: Outgoing, now_ms: int) -> Record:
    return Record(
        message_id=message.id,
        bot_id=1,
        chat_id=message.chat_id,
        cost=1,
        status=Status.SENT,
        attempt=1,
        recorded_at_ms=now_ms,
        outcome="sent",
        started_at_ms=now_ms,
        counted_at_ms=now_ms,
        telegram_message_id=1,
    )


@asynccontextmanager
async def sqlite() -> AsyncIterator[Database | None]:
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def postgres() -> AsyncIterator[Database | None]:
    async with postgres_url() as url:
        if url is None:
            yield None
            return
        database = await Database.open(url)
        try:
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def postgres_url() -> AsyncIterator[str | None]:
    """Make a database of our own, and drop exactly that one; None without a server."""
    plain_url = POSTGRES_URL.replace("postgresql+asyncpg", "postgresql")
    try:
        server = await asyncpg.connect(plain_url, timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        yield None
        return
    name = f"bench_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRES_URL.rpartition('/')[0]}/{name}"
    finally:
        await server.execute(f"DROP DATABASE {name}")
        await server.close()


if __name__ == "__main__":
    main("What does the ledger cost?", bench)
