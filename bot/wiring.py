"""Puts the program together. The one file that names concrete classes.

Books     what is kept
Line      the bots, and the connections to Telegram
Engine    what decides when a message goes, and sends it
Talk      what comes in, and who answers it
Program   all of them, and the HTTP side
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from aiogram import Dispatcher as AiogramDispatcher
from aiogram import Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from api.app import App, create_app
from api.services import Services
from bot import behaviours, session
from bot.allowed_updates import allowed_updates
from bot.attachments import Attachments
from bot.composer import MethodComposer
from bot.connections import Connections
from bot.departures import Departures
from bot.feeds import Feeds
from bot.fleet import Fleet
from bot.generator import TextGenerator
from bot.generator.author import Author
from bot.generator.chat_completions import ChatCompletions
from bot.generator.fallback import Fallback
from bot.generator.templates import Templates
from bot.home import Home, database_url, home, seal
from bot.intake import UpdateIntake
from bot.luggage import Luggage
from bot.newcomers import NEW_TOKENS, Newcomers
from bot.notes import Notes
from bot.poller import Poller
from bot.pool import Pool
from bot.presence import Presence
from bot.running import Loops
from bot.session import Gateway
from bot.settings import Settings
from bot.transport import TelegramTransport
from bot.webhooks import Webhooks
from engine.clearance import Clearance
from engine.delivery import Delivery
from engine.dispatcher import Dispatcher
from engine.errors import SettingsError
from engine.expiry import Expiry
from engine.ids import Ids
from engine.limits import Limits
from engine.memory_broker import MemoryBroker
from engine.memory_news import SilentNews
from engine.memory_results import MemoryResults
from engine.metrics import Metrics, ObservedBroker, ObservedTransport
from engine.pauses import end_of_pause
from engine.ports import Broker, Clock, Ledger, Results, SystemClock
from engine.reach import Reach
from engine.reconciler import Reconciler
from engine.recoverer import Recoverer
from engine.replacements import Replacements
from engine.start import rebuild
from engine.worker import Worker
from storage.bots import Bots, Source
from storage.chats import Chats
from storage.database import Database
from storage.history import History
from storage.ledger import SqlLedger
from storage.limits import KeptLimits
from storage.retention import Keep, Retention
from storage.sole_use import SoleUse, sole_use
from storage.spool import Spool
from storage.texts import Texts
from storage.updates import Updates
from storage.uploads import Uploads

HANDLERS_MAX = 200
"""Handlers that run at once. A guess; most of them wait for an answer."""

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before the webhook asks Telegram to come again. A guess."""

RECONCILE_MS = 5_000
"""Between two pages of the slow comparison of ledger and schedule. A guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What is kept, in one database."""

    sole_use: SoleUse
    ledger: SqlLedger
    bots: Bots
    chats: Chats
    history: History
    limits: KeptLimits
    texts: Texts
    updates: Updates
    uploads: Uploads
    retention: Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The bots, and the connections to Telegram."""

    fleet: Fleet
    sends: Connections
    polls: aiohttp.ClientSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What decides when a message goes, and sends it."""

    broker: Broker
    ledger: Ledger
    results: Results
    metrics: Metrics
    reach: Reach
    replacements: Replacements
    dispatcher: Dispatcher
    worker: Worker
    recoverer: Recoverer
    reconciler: Reconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What comes in, and who answers it."""

    composer: MethodComposer
    attachments: Attachments
    spool: Spool
    handlers: AiogramDispatcher
    intake: UpdateIntake
    pool: Pool
    feeds: Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything that runs, put together and rebuilt from the ledger; nothing is sent before ``running``."""

    settings: Settings
    home: Home
    books: Books
    line: Line
    engine: Engine
    talk: Talk
    departures: Departures
    app: App
    loops: Loops


@asynccontextmanager
async def program(
    settings: Settings, *, opened: Books | None = None, clock: Clock | None = None
) -> AsyncIterator[Program]:
    """Build the program in one process: a memory broker, the database, one pool of connections.

    Without ``opened`` it opens the books itself.
    """
    refuse_redis(settings)
    own_routers = behaviours.own.routers(settings.behaviours)
    clock, at_home = clock or SystemClock(), home(settings)
    async with AsyncExitStack() as stack:
        kept = opened if opened is not None else await stack.enter_async_context(books(settings, clock))
        line = await stack.enter_async_context(line_to_telegram(settings, kept, clock))
        generator = await stack.enter_async_context(text_generator(settings))
        limits = await kept.limits.current()
        engine = engine_of(settings, limits, kept, line, clock)
        await kept.uploads.purge_orphans()
        ids = Ids(await kept.ledger.last_id())
        talk = stack.enter_context(talk_of(settings, kept, line, engine, generator, own_routers, ids, clock))
        departures, loops = departures_of(settings, kept, line, engine, ids, clock), Loops()
        await rebuild(
            engine.ledger,
            engine.broker,
            engine.replacements,
            limits,
            clock,
            calls_max=settings.telegram_connections,
        )
        await engine.reach.load()
        await line.fleet.load()
        line.fleet.when_proved(partial(end_of_pause, engine.ledger, engine.broker))
        yield Program(
            settings=settings,
            home=at_home,
            books=kept,
            line=line,
            engine=engine,
            talk=talk,
            departures=departures,
            app=create_app(services(kept, line, engine, talk, departures, loops, at_home.admin_token, clock)),
            loops=loops,
        )


@asynccontextmanager
async def books(settings: Settings, clock: Clock) -> AsyncIterator[Books]:
    """Open the books, for this process alone."""
    key = seal(settings)
    keep = Keep(messages_ms=settings.keep_messages_ms, dead_ms=settings.keep_dead_ms, texts_ms=settings.keep_texts_ms)
    async with sole_use(database_url(settings)) as use:
        database = await Database.open(database_url(settings))
        try:
            yield Books(
                sole_use=use,
                ledger=SqlLedger(database),
                bots=Bots(database, key),
                chats=Chats(database),
                history=History(database),
                limits=KeptLimits(database, settings.limits()),
                texts=Texts(database, keep_ms=settings.keep_texts_ms),
                updates=Updates(database),
                uploads=Uploads(database),
                retention=Retention(database, keep=keep, clock=clock),
            )
        finally:
            await database.close()


@asynccontextmanager
async def line_to_telegram(settings: Settings, kept: Books, clock: Clock) -> AsyncIterator[Line]:
    """Open the connections: polls stand open, and senders must not wait for them."""
    direct = AiohttpSession(api=TelegramAPIServer.from_base(settings.telegram_api_url))
    fleet = Fleet(
        bots=kept.bots,
        session=direct,
        check_behaviours=behaviours.check,
        default_behaviours=behaviours.DEFAULT,
        default_source=Source.WEBHOOK if settings.public_url else Source.POLLING,
        newcomers=Newcomers(clock=clock, windows=NEW_TOKENS if is_telegram(settings) else ()),
        news=SilentNews(),
        calls_end_within_ms=settings.lease_ms,
        clock=clock,
    )
    try:
        no_limit = aiohttp.TCPConnector(limit=0)
        async with Connections(settings.telegram_api_url) as sends, aiohttp.ClientSession(connector=no_limit) as polls:
            yield Line(fleet=fleet, sends=sends, polls=polls)
    finally:
        await direct.close()


def engine_of(settings: Settings, limits: Limits, kept: Books, line: Line, clock: Clock) -> Engine:
    metrics, results, ledger = Metrics(), MemoryResults(), kept.ledger
    broker = ObservedBroker(MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms), metrics)
    transport = TelegramTransport(
        connections=line.sends,
        token_of=line.fleet.token_of,
        timeout_ms=settings.timeout_ms,
        guard_ms=settings.telegram_window_guard_ms,
        luggage=Luggage(kept.uploads),
        clock=clock,
    )
    reach = Reach(ledger=ledger, broker=broker, results=results, news=SilentNews(), clock=clock, hears=line.fleet.hears)
    delivery = Delivery(
        transport=ObservedTransport(transport, metrics, clock),
        ledger=ledger,
        broker=broker,
        results=results,
        reach=reach,
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
    return Engine(
        broker=broker,
        ledger=ledger,
        results=results,
        metrics=metrics,
        reach=reach,
        replacements=replacements,
        dispatcher=Dispatcher(ledger=ledger, broker=broker, reach=reach, replacements=replacements, worker=worker),
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
    )


@contextmanager
def talk_of(
    settings: Settings,
    kept: Books,
    line: Line,
    engine: Engine,
    generator: TextGenerator,
    own_routers: Sequence[Router],
    ids: Ids,
    clock: Clock,
) -> Iterator[Talk]:
    """Put the behaviours together; until the block ends, every ``Bot`` that is built speaks through the engine."""
    composer = MethodComposer(clock=clock, ids=ids, may_pay=settings.telegram_paid_stars_cap > 0)
    spool = Spool(settings.data_dir, settings.upload_bytes_max)
    attachments = Attachments(kept.uploads, spool)
    gateway = Gateway(
        dispatcher=engine.dispatcher,
        composer=composer,
        attachments=attachments,
        results=engine.results,
        tokens=line.fleet,
        wait_s=settings.telegram_rate_limit_wait,
    )
    author = Author(
        generator,
        texts=kept.texts if settings.keep_texts_ms else None,
        keep_ms=settings.keep_texts_ms,
        clock=clock,
    )
    handlers = AiogramDispatcher(author=author)
    handlers.include_routers(*own_routers, behaviours.router())
    pool = Pool(size=HANDLERS_MAX, waiting_max=UPDATES_WAITING_MAX)
    intake = UpdateIntake(
        updates=kept.updates,
        fleet=line.fleet,
        dispatcher=handlers,
        gateway=gateway,
        pool=pool,
        clock=clock,
        notes=Notes(
            history=kept.history,
            chats=kept.chats,
            presence=Presence(chats=kept.chats, reach=engine.reach),
            author=author,
            ids=ids,
        ),
    )
    remove = session.install(gateway)
    try:
        yield Talk(
            composer=composer,
            attachments=attachments,
            spool=spool,
            handlers=handlers,
            intake=intake,
            pool=pool,
            feeds=feeds_of(settings, line, intake, allowed_updates(handlers), clock),
        )
    finally:
        remove()


def feeds_of(settings: Settings, line: Line, intake: UpdateIntake, kinds: Sequence[str], clock: Clock) -> Feeds:
    return Feeds(
        fleet=line.fleet,
        webhooks=Webhooks(fleet=line.fleet, public_url=settings.public_url, allowed_updates=kinds, clock=clock),
        poller_for=lambda bot_id: Poller(
            bot_id=bot_id,
            session=line.polls,
            api_url=settings.telegram_api_url,
            token_of=line.fleet.token_of,
            intake=intake,
            allowed_updates=kinds,
        ),
    )


def departures_of(settings: Settings, kept: Books, line: Line, engine: Engine, ids: Ids, clock: Clock) -> Departures:
    return Departures(
        fleet=line.fleet,
        bots=kept.bots,
        broker=engine.broker,
        clearance=Clearance(ledger=engine.ledger, broker=engine.broker, results=engine.results, clock=clock),
        calls_end_within_s=settings.lease_ms / 1_000,
        ids=ids,
        clock=clock,
    )


def services(
    kept: Books,
    line: Line,
    engine: Engine,
    talk: Talk,
    departures: Departures,
    loops: Loops,
    admin_token: str,
    clock: Clock,
) -> Services:
    async def healthy() -> bool:
        await engine.ledger.open_ids(after_id="", limit=1)  # raises if the ledger cannot be read
        return loops.alive

    return Services(
        intake=talk.intake,
        composer=talk.composer,
        attachments=talk.attachments,
        spool=talk.spool,
        fleet=line.fleet,
        dispatcher=engine.dispatcher,
        broker=engine.broker,
        ledger=engine.ledger,
        results=engine.results,
        history=kept.history,
        bots=kept.bots,
        limits=kept.limits,
        departures=departures,
        metrics=engine.metrics,
        clock=clock,
        admin_token=admin_token,
        healthy=healthy,
    )


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


def is_telegram(settings: Settings) -> bool:
    """Tell whether Telegram itself answers, and not a server of one's own or a simulated one."""
    return urlsplit(settings.telegram_api_url).hostname == "api.telegram.org"


def refuse_redis(settings: Settings) -> None:
    """Say plainly that this version keeps its queue in the process.

    Raises:
        SettingsError: ``REDIS_URL`` is set.
    """
    if settings.redis_url:
        raise SettingsError("REDIS_URL is set, and this version does not run on Redis yet; unset it")
