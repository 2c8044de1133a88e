"""Puts the program together. The one file that names concrete classes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiogram import Dispatcher as AiogramDispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from api.app import App, create_app
from api.ports import TelegramUnreachable
from api.services import Services
from bot import behaviours, session
from bot.admin_token import admin_token
from bot.composer import MethodComposer
from bot.feeds import Feeds
from bot.fleet import Fleet
from bot.intake import UpdateIntake
from bot.poller import Poller
from bot.pool import Pool
from bot.session import Gateway
from bot.settings import Settings
from bot.transport import TelegramTransport
from bot.webhooks import Webhooks
from engine.delivery import Delivery
from engine.dispatcher import Dispatcher
from engine.errors import SettingsError
from engine.expiry import Expiry
from engine.ids import Ids
from engine.memory_broker import MemoryBroker
from engine.memory_results import MemoryResults
from engine.metrics import Metrics, ObservedBroker, ObservedTransport
from engine.ports import Broker, Clock, Ledger, SystemClock, Transport
from engine.reconciler import Reconciler
from engine.recoverer import Recoverer
from engine.replacements import Replacements
from engine.start import rebuild
from engine.worker import Worker
from storage.bots import Bots
from storage.database import Database
from storage.history import History
from storage.keys import Seal, secret_key
from storage.ledger import SqlLedger
from storage.sole_use import sole_use
from storage.updates import Updates

log = structlog.get_logger()

HANDLERS_MAX = 200
"""Handlers that run at once. A guess; most of them wait for an answer."""

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before the webhook asks Telegram to come again. A guess."""

RECONCILE_MS = 5_000
"""Between two pages of the slow comparison of ledger and schedule. A guess."""

SHUTDOWN_S = 10.0
"""How long handlers and calls under way may take to end after the signal."""


class Loops:
    """The loops that must run, once ``running`` has started them."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *loops: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        return self._tasks

    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything that runs, put together and rebuilt from the ledger; nothing is sent before ``running``."""

    settings: Settings
    admin_token: str
    admin_token_is_new: bool
    app: App
    fleet: Fleet
    intake: UpdateIntake
    feeds: Feeds
    broker: Broker
    ledger: Ledger
    dispatcher: Dispatcher
    composer: MethodComposer
    worker: Worker
    recoverer: Recoverer
    reconciler: Reconciler
    pool: Pool
    http: aiohttp.ClientSession
    loops: Loops


@asynccontextmanager
async def program(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Program]:
    """Build the program in one process: a memory broker, the database, one pool of connections."""
    refuse_redis(settings)
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        with _usable(settings.data_dir) as data_dir:
            seal = Seal(secret_key(settings.secret_key.get_secret_value(), path=data_dir / "secret_key"))
            token, token_is_new = admin_token(settings.admin_token.get_secret_value(), path=data_dir / "admin_token")
        await stack.enter_async_context(sole_use(database_url(settings)))
        database = await Database.open(database_url(settings))
        stack.push_async_callback(database.close)
        connector = aiohttp.TCPConnector(limit=settings.telegram_connections + len(settings.bot_tokens) + 16)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        ledger, limits, metrics = SqlLedger(database), settings.limits(), Metrics()
        broker = ObservedBroker(MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms), metrics)
        results, composer = MemoryResults(), MethodComposer(clock=clock, ids=Ids())
        direct = AiohttpSession(api=TelegramAPIServer.from_base(settings.telegram_api_url))
        stack.push_async_callback(direct.close)
        bots = Bots(database, seal)
        fleet = Fleet(
            bots=bots,
            session=direct,
            check_behaviours=behaviours.check,
            default_behaviours=behaviours.DEFAULT,
            clock=clock,
        )
        transport = ObservedTransport(telegram_transport(settings, http, fleet, clock), metrics, clock)
        delivery = Delivery(
            transport=transport,
            ledger=ledger,
            broker=broker,
            results=results,
            retries=settings.retries(),
            retry_after_ms_max=round(settings.telegram_max_retry_after * 1_000),
            clock=clock,
        )
        worker = Worker(
            broker=broker,
            delivery=delivery,
            expiry=Expiry(ledger=ledger, results=results, clock=clock),
            worker_id=f"worker-{os.getpid()}",
            slots=settings.telegram_connections,
            lease_ms=settings.lease_ms,
            clock=clock,
        )
        replacements = Replacements(ledger=ledger, results=results, clock=clock)
        dispatcher = Dispatcher(ledger=ledger, broker=broker, replacements=replacements, worker=worker)
        gateway = Gateway(
            dispatcher=dispatcher,
            composer=composer,
            results=results,
            tokens=fleet,
            wait_s=settings.telegram_rate_limit_wait,
        )
        stack.callback(session.install(gateway))
        handlers = AiogramDispatcher()
        handlers.include_router(behaviours.router())
        pool = Pool(size=HANDLERS_MAX, waiting_max=UPDATES_WAITING_MAX)
        intake = UpdateIntake(
            updates=Updates(database), fleet=fleet, dispatcher=handlers, gateway=gateway, pool=pool, clock=clock
        )
        loops = Loops()

        async def healthy() -> bool:
            await ledger.holds(clock())  # raises if the ledger cannot be read
            return loops.alive

        await rebuild(ledger, broker, replacements, limits, clock)
        await fleet.load()
        yield Program(
            settings=settings,
            admin_token=token,
            admin_token_is_new=token_is_new,
            app=create_app(
                Services(
                    intake=intake,
                    composer=composer,
                    fleet=fleet,
                    dispatcher=dispatcher,
                    broker=broker,
                    ledger=ledger,
                    results=results,
                    history=History(database),
                    bots=bots,
                    metrics=metrics,
                    clock=clock,
                    admin_token=token,
                    healthy=healthy,
                )
            ),
            fleet=fleet,
            intake=intake,
            feeds=Feeds(
                fleet=fleet,
                webhooks=Webhooks(fleet=fleet, public_url=settings.public_url) if settings.public_url else None,
                poller_for=lambda bot_id: Poller(
                    bot_id=bot_id,
                    session=http,
                    api_url=settings.telegram_api_url,
                    token_of=fleet.token_of,
                    intake=intake,
                ),
            ),
            broker=broker,
            ledger=ledger,
            dispatcher=dispatcher,
            composer=composer,
            worker=worker,
            recoverer=Recoverer(
                broker=broker,
                delivery=delivery,
                worker_id=f"recoverer-{os.getpid()}",
                interval_ms=settings.lease_ms // 2,
                clock=clock,
            ),
            reconciler=Reconciler(
                ledger=ledger, broker=broker, replacements=replacements, interval_ms=RECONCILE_MS, clock=clock
            ),
            pool=pool,
            http=http,
            loops=loops,
        )


@asynccontextmanager
async def running(built: Program) -> AsyncIterator[None]:
    """Send and handle until the block ends; then finish what is under way, at most ``SHUTDOWN_S``."""
    worker, *others = built.loops.start(built.worker.run(), built.recoverer.run(), built.reconciler.run())
    try:
        for token in built.settings.bot_tokens:
            await add_bot(built.fleet, token.get_secret_value())
        resumed = await built.intake.resume()
        log.info("started", bots=len(built.fleet.bot_ids), resumed_updates=resumed)
        yield
    finally:
        for other in others:
            other.cancel()
        try:
            async with asyncio.timeout(SHUTDOWN_S):
                await built.pool.drain()
                built.worker.stop()
                await worker
        except TimeoutError:
            log.warning("stopped with work under way; the next start takes it up", seconds=SHUTDOWN_S)
            worker.cancel()


async def add_bot(fleet: Fleet, token: str) -> None:
    """Run a bot that the environment names, even while Telegram cannot be asked who it is."""
    try:
        await fleet.add(token, None)
    except TelegramUnreachable as error:
        log.warning("bot added unasked", reason=str(error))
        await fleet.add_unasked(token)


def telegram_transport(settings: Settings, http: aiohttp.ClientSession, fleet: Fleet, clock: Clock) -> Transport:
    return TelegramTransport(
        session=http,
        api_url=settings.telegram_api_url,
        token_of=fleet.token_of,
        timeout_ms=settings.timeout_ms,
        guard_ms=settings.telegram_window_guard_ms,
        clock=clock,
    )


def database_url(settings: Settings) -> str:
    return settings.database_url or f"sqlite+aiosqlite:///{settings.data_dir}/tempogram.db"


@contextmanager
def _usable(data_dir: Path) -> Iterator[Path]:
    """Lend the directory that holds the keys.

    Raises:
        SettingsError: It cannot be made, read or written.
    """
    try:
        yield data_dir
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR is {str(data_dir)!r}, which cannot be used ({error.strerror or error}); set it to a directory "
            "that this user may write"
        ) from None


def refuse_redis(settings: Settings) -> None:
    """Say plainly that this version keeps its queue in the process.

    Raises:
        SettingsError: ``REDIS_URL`` is set.
    """
    if settings.redis_url:
        raise SettingsError("REDIS_URL is set, and this version has no Redis broker yet; unset it")


def listening(host: str, port: int) -> socket.socket:
    """Take an address to serve on.

    Raises:
        SettingsError: It is taken, or is none of this machine's.
    """
    try:
        return socket.create_server((host, port), backlog=2_048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); set HOST and PORT to a free address"
        ) from None
