"""Puts the program together. The one file that names concrete classes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
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
from api.ports import TelegramUnreachable, UnknownToken
from api.services import Services
from bot import behaviours, session
from bot.admin_token import admin_token
from bot.allowed_updates import allowed_updates
from bot.composer import MethodComposer
from bot.feeds import Feeds
from bot.fleet import Fleet
from bot.generator import TextGenerator
from bot.generator.author import Author
from bot.generator.chat_completions import ChatCompletions
from bot.generator.fallback import Fallback
from bot.generator.templates import Templates
from bot.intake import UpdateIntake
from bot.notes import Notes
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
from storage.chats import Chats
from storage.database import Database
from storage.history import History
from storage.keys import Seal, secret_key
from storage.ledger import SqlLedger
from storage.sole_use import sole_use
from storage.texts import Texts
from storage.updates import Updates

log = structlog.get_logger()

HANDLERS_MAX = 200
"""Handlers that run at once. A guess; most of them wait for an answer."""

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before the webhook asks Telegram to come again. A guess."""

RECONCILE_MS = 5_000
"""Between two pages of the slow comparison of ledger and schedule. A guess."""

SHUTDOWN_S = 10.0
"""How long handlers may take to end after the signal."""

SETTLE_S = 5.0
"""How long a call's outcome may take to be written, after the call."""


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
    handlers: AiogramDispatcher
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
    own_routers = behaviours.own.routers(settings.behaviours)
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        with _usable(settings.data_dir) as data_dir:
            seal = Seal(secret_key(settings.secret_key.get_secret_value(), path=data_dir / "secret_key"))
            token, token_is_new = admin_token(settings.admin_token.get_secret_value(), path=data_dir / "admin_token")
        await stack.enter_async_context(sole_use(database_url(settings)))
        database = await Database.open(database_url(settings))
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(connections(settings.telegram_connections))
        polls = await stack.enter_async_context(connections(0))  # they stand open; senders must not wait for them
        ledger, limits, metrics = SqlLedger(database), settings.limits(), Metrics()
        broker = ObservedBroker(MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms), metrics)
        results, ids = MemoryResults(), Ids()
        composer = MethodComposer(clock=clock, ids=ids, may_pay=settings.telegram_paid_stars_cap > 0)
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
        history, texts = History(database), Texts(database, keep_ms=settings.keep_texts_ms)
        await texts.purge(clock() - settings.keep_texts_ms)
        author = Author(
            await stack.enter_async_context(text_generator(settings)),
            texts=texts if settings.keep_texts_ms else None,
            keep_ms=settings.keep_texts_ms,
            clock=clock,
        )
        handlers = AiogramDispatcher(author=author)
        handlers.include_routers(*own_routers, behaviours.router())
        kinds = allowed_updates(handlers)
        pool = Pool(size=HANDLERS_MAX, waiting_max=UPDATES_WAITING_MAX)
        intake = UpdateIntake(
            updates=Updates(database),
            fleet=fleet,
            dispatcher=handlers,
            gateway=gateway,
            pool=pool,
            clock=clock,
            notes=Notes(history=history, chats=Chats(database), author=author, ids=ids),
        )
        loops = Loops()

        async def healthy() -> bool:
            await ledger.open_ids(after_id="", before_id="", limit=1)  # raises if the ledger cannot be read
            return loops.alive

        await rebuild(ledger, broker, replacements, limits, clock, calls_max=settings.telegram_connections)
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
                    history=history,
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
                webhooks=Webhooks(fleet=fleet, public_url=settings.public_url, allowed_updates=kinds)
                if settings.public_url
                else None,
                poller_for=lambda bot_id: Poller(
                    bot_id=bot_id,
                    session=polls,
                    api_url=settings.telegram_api_url,
                    token_of=fleet.token_of,
                    intake=intake,
                    allowed_updates=kinds,
                ),
            ),
            handlers=handlers,
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
        await asyncio.gather(*(add_bot(built.fleet, token.get_secret_value()) for token in built.settings.bot_tokens))
        await built.handlers.emit_startup(**_told(built))
        resumed = await built.intake.resume()
        log.info("started", bots=len(built.fleet.bot_ids), resumed_updates=resumed)
        yield
    finally:
        for other in others:
            other.cancel()
        await _finish("handlers", built.pool.drain(), within_s=SHUTDOWN_S)
        await _finish("shutdown handlers", _tell_end(built), within_s=SHUTDOWN_S)
        built.worker.stop()
        # A call that is cut off is sent again by the next start; so each may take as long as a call takes.
        await _finish("calls", worker, within_s=built.settings.telegram_timeout + SETTLE_S)


async def _finish(what: str, work: Awaitable[None], *, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await work
    except TimeoutError:
        log.warning("stopped with work under way; the next start takes it up", what=what, seconds=within_s)


async def _tell_end(built: Program) -> None:
    """Tell a router's own handlers; one that fails must not keep ours from ending."""
    try:
        await built.handlers.emit_shutdown(**_told(built))
    except Exception as error:
        log.exception("a shutdown handler failed", reason=type(error).__name__)


def _told(built: Program) -> dict[str, Any]:
    """Return what aiogram tells a router's own handlers of start and end."""
    bots = [built.fleet.bot(bot_id) for bot_id in built.fleet.bot_ids]
    last = {"bot": bots[-1]} if bots else {}
    return {"dispatcher": built.handlers, "bots": bots, **built.handlers.workflow_data, **last}


@asynccontextmanager
async def text_generator(settings: Settings) -> AsyncIterator[TextGenerator]:
    """Lend the one that the settings name: templates, or a server, and templates for when it fails."""
    if not settings.llm_api_url:
        yield Templates()
        return
    # Connections of its own: a slow server must not take those to Telegram.
    async with aiohttp.ClientSession() as session:
        yield Fallback(
            ChatCompletions(
                session=session,
                api_url=settings.llm_api_url,
                api_key=settings.llm_api_key,
                model=settings.llm_model,
                timeout_s=settings.llm_timeout,
            ),
            Templates(),
        )


async def add_bot(fleet: Fleet, token: str) -> None:
    """Run a bot that the environment names, even while Telegram cannot be asked who it is."""
    try:
        await fleet.add(token, None)
    except UnknownToken as error:
        # The others run on. Its messages are kept, and it is paused by the first call that Telegram refuses.
        log.error("alert", kind="token_revoked", reason=str(error))  # noqa: TRY400 - one sentence, no traceback
        await fleet.add_unasked(token)
    except TelegramUnreachable as error:
        log.warning("bot added unasked", reason=str(error))
        await fleet.add_unasked(token)


def connections(limit: int) -> aiohttp.ClientSession:
    """Return a pool of at most so many connections; 0 is no limit."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))


async def has_bots(settings: Settings) -> bool:
    """Tell whether bots were added to the books before, by the environment or by ``POST /bots``."""
    with _usable(settings.data_dir) as data_dir:
        seal = Seal(secret_key(settings.secret_key.get_secret_value(), path=data_dir / "secret_key"))
    database = await Database.open(database_url(settings))
    try:
        return bool(await Bots(database, seal).all())
    finally:
        await database.close()


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
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # texts lie in there
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
