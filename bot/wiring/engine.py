"""The parts that send messages."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from tempogram.api.core.redaction import origin
from tempogram.bot.calls.handles import HandleReferences
from tempogram.bot.config.settings import Settings
from tempogram.bot.telegram.edit_coalescing import edits_made_needless
from tempogram.bot.telegram.transport import TelegramTransport
from tempogram.bot.telegram.upload_packing import UploadPacker
from tempogram.bot.updates.hearing import Hearing
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.bot.wiring.telegram import Telegram
from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.observability.fleet_counts import FleetCounts
from tempogram.engine.observability.metrics import Metrics, ObservedTransport
from tempogram.engine.observability.watched_transport import WatchedTransport
from tempogram.engine.ports import Transport
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.recovery.parked_messages import ParkedMessages
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.engine.sending.recoverer import Recoverer
from tempogram.engine.sending.slots import NoWorker
from tempogram.engine.sending.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The parts that accept messages and send them.

    Attributes:
        hearing: Is given the updates that a program's own Dispatcher gets.
        fleet_counts: None: there are no other processes.
    """

    metrics: Metrics
    fleet_counts: FleetCounts | None
    reachability: Reachability
    eraser: ChatEraser
    hearing: Hearing
    dispatcher: Dispatcher
    worker: Worker
    recoverer: Recoverer
    known_holds: KnownHolds
    cancellations: Cancellations
    parked_messages: ParkedMessages
    references: HandleReferences


def engine_of(context: Context, storage: Storage, queue: Queue, telegram: Telegram) -> Engine:
    settings, clock = context.settings, context.clock
    metrics, broker, results, ledger = Metrics(), queue.broker, queue.results, storage.ledger
    conditions, closer = queue.conditions, queue.closer
    name = f"{socket.gethostname()}-{os.getpid()}-{storage.process:08x}"
    hearing = Hearing(telegram.bots.registry.gets_updates)
    reachability = Reachability(
        ledger=ledger,
        closer=closer,
        changes=queue.changes,
        clock=clock,
        hears=hearing.hears,
        erasures=storage.erasures,
    )
    transport = TelegramTransport(
        connections=telegram.sends,
        token_of=telegram.bots.registry.token_of,
        reload_token=telegram.bots.reload_token,
        group_moves=reachability,
        handles=storage.handles,
        timeout_ms=settings.timeout_ms,
        guard_ms=settings.telegram_window_guard_ms,
        upload_packer=UploadPacker(storage.uploads),
        clock=clock,
    )
    pending_admissions = PendingAdmissions(ledger=ledger, broker=broker, closer=closer)
    cancellations = Cancellations(
        broker=broker, closer=closer, pending_admissions=pending_admissions, conditions=conditions
    )
    parked_messages = ParkedMessages(
        handles=storage.handles,
        ledger=ledger,
        broker=broker,
        results=results,
        conditions=conditions,
        looks_for_others=queue.leads,
    )
    references = HandleReferences(
        handles=storage.handles,
        ledger=ledger,
        broker=broker,
        cancellations=cancellations,
        parked_messages=parked_messages,
    )
    delivery = Delivery(
        transport=ObservedTransport(watched(context, transport), metrics, clock),
        ledger=ledger,
        broker=broker,
        results=results,
        closer=closer,
        reachability=reachability,
        retries=settings.retries(),
        retry_after_ms_max=round(settings.telegram_max_retry_after * 1_000),
        conditions=conditions,
        circuit_breaker=CircuitBreaker(host_of(settings), clock=clock, conditions=conditions),
        pending_admissions=pending_admissions,
        makes_needless=edits_made_needless,
        park=parked_messages.park,
        clock=clock,
    )
    worker = Worker(
        broker=broker,
        delivery=delivery,
        closer=closer,
        worker_id=name,
        slots=settings.telegram_connections,
        lease_ms=settings.lease_ms,
        is_source=queue.is_source,
        clock=clock,
    )
    return Engine(
        metrics=metrics,
        fleet_counts=FleetCounts(metrics, storage.totals) if settings.redis_url else None,
        reachability=reachability,
        eraser=ChatEraser(storage.erasures, reachability=reachability, closer=closer, ledger=ledger, clock=clock),
        hearing=hearing,
        dispatcher=Dispatcher(
            ledger=ledger,
            broker=broker,
            reachability=reachability,
            closer=closer,
            worker=worker if context.role.sends else NoWorker(),
            pending_admissions=pending_admissions,
            conditions=conditions,
            count_drops=metrics.count_drops,
            references=references,
            watcher=context.watched_by,
        ),
        worker=worker,
        known_holds=delivery.known_holds,
        cancellations=cancellations,
        parked_messages=parked_messages,
        references=references,
        recoverer=Recoverer(
            broker=broker,
            delivery=delivery,
            worker_id=f"recoverer-{name}",
            interval_ms=settings.lease_ms // 2,
            conditions=conditions,
            clock=clock,
        ),
    )


def host_of(settings: Settings) -> str:
    """Return what is away when no call succeeds: Telegram, or the proxy before it."""
    host = origin(settings.telegram_api_url).partition("://")[2]
    return f"{host} through the proxy {settings.proxy}" if settings.proxy else host


def watched(context: Context, transport: Transport) -> Transport:
    watcher = context.watched_by
    return transport if watcher is None else WatchedTransport(transport, watcher, context.clock)
