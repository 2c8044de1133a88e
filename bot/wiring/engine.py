"""What sends messages when their time has come."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tempogram.bot.config.process_roles import Role
from tempogram.bot.config.settings import Settings
from tempogram.bot.telegram.transport import TelegramTransport
from tempogram.bot.telegram.upload_packing import Luggage
from tempogram.bot.wiring.queue import Schedule
from tempogram.bot.wiring.storage import Books
from tempogram.bot.wiring.telegram import Line
from tempogram.engine.closing.expiry import Expiry
from tempogram.engine.closing.reachability import Reach
from tempogram.engine.closing.replacements import Replacements
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.observability.metrics import Metrics, ObservedBroker, ObservedTransport
from tempogram.engine.ports import Broker, Clock, Ledger, Results
from tempogram.engine.recovery.pending_admissions import Unscheduled
from tempogram.engine.resilience.circuit_breaker import Breaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.recoverer import Recoverer
from tempogram.engine.sending.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What decides when a message goes, and sends it."""

    broker: Broker
    ledger: Ledger
    results: Results
    metrics: Metrics
    conditions: Conditions
    reach: Reach
    replacements: Replacements
    dispatcher: Dispatcher
    worker: Worker
    recoverer: Recoverer


def engine_of(settings: Settings, role: Role, kept: Books, line: Line, schedule: Schedule, clock: Clock) -> Engine:
    metrics, results, ledger = Metrics(), schedule.results, kept.ledger
    conditions = schedule.conditions
    broker = ObservedBroker(schedule.broker, metrics)
    name = f"{socket.gethostname()}-{os.getpid()}-{kept.process:08x}"
    transport = TelegramTransport(
        connections=line.sends,
        token_of=line.fleet.roster.token_of,
        token_in_books=line.fleet.token_in_books,
        timeout_ms=settings.timeout_ms,
        guard_ms=settings.telegram_window_guard_ms,
        luggage=Luggage(kept.uploads),
        clock=clock,
    )
    reach = Reach(
        ledger=ledger,
        broker=broker,
        results=results,
        news=schedule.news,
        clock=clock,
        hears=line.fleet.roster.hears,
        conditions=conditions,
    )
    replacements = schedule.replacements
    unscheduled = Unscheduled(ledger=ledger, broker=broker, replacements=replacements)
    delivery = Delivery(
        transport=ObservedTransport(transport, metrics, clock),
        ledger=ledger,
        broker=broker,
        results=results,
        reach=reach,
        retries=settings.retries(),
        retry_after_ms_max=round(settings.telegram_max_retry_after * 1_000),
        conditions=conditions,
        breaker=Breaker(urlsplit(settings.telegram_api_url).netloc, clock=clock, conditions=conditions),
        unscheduled=unscheduled,
        clock=clock,
    )
    worker = Worker(
        broker=broker,
        delivery=delivery,
        expiry=Expiry(ledger=ledger, results=results, conditions=conditions, clock=clock),
        worker_id=name,
        slots=settings.telegram_connections,
        lease_ms=settings.lease_ms,
        is_source=schedule.is_source,
        clock=clock,
    )
    return Engine(
        broker=broker,
        ledger=ledger,
        results=results,
        metrics=metrics,
        conditions=conditions,
        reach=reach,
        replacements=replacements,
        dispatcher=Dispatcher(
            ledger=ledger,
            broker=broker,
            reach=reach,
            replacements=replacements,
            worker=worker if role.sends else None,
            unscheduled=unscheduled,
            conditions=conditions,
        ),
        worker=worker,
        recoverer=Recoverer(
            broker=broker,
            delivery=delivery,
            worker_id=f"recoverer-{name}",
            interval_ms=settings.lease_ms // 2,
            conditions=conditions,
            clock=clock,
        ),
    )
