"""All parts together, and the HTTP side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tempogram.api.app import App, create_app
from tempogram.api.core.dependencies import Services
from tempogram.api.usecases.cancellations import Cancellations
from tempogram.bot import behaviours
from tempogram.bot.config.data_dir import Home, database_url, home
from tempogram.bot.config.process_roles import Role, check
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.cache_invalidation import Follower
from tempogram.bot.fleet.removal import Departures
from tempogram.bot.runtime.lifecycle import Loops
from tempogram.bot.wiring.engine import Engine, engine_of
from tempogram.bot.wiring.queue import Schedule, schedule_of
from tempogram.bot.wiring.storage import Books, books
from tempogram.bot.wiring.telegram import Line, line_to_telegram
from tempogram.bot.wiring.updates import Talk, talk_of, text_generator
from tempogram.engine.closing.clearance import Clearance
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock, Leadership, SystemClock
from tempogram.engine.recovery.pauses import end_of_pause
from tempogram.storage.processes.leadership import FEEDERS, leadership


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything that runs, put together and rebuilt from the ledger; nothing is sent before ``running``."""

    settings: Settings
    role: Role
    home: Home
    books: Books
    line: Line
    schedule: Schedule
    engine: Engine
    talk: Talk
    departures: Departures
    follower: Follower
    lead: Leadership
    app: App
    loops: Loops


@asynccontextmanager
async def program(
    settings: Settings, role: Role = Role.RUN, *, opened: Books | None = None, clock: Clock | None = None
) -> AsyncIterator[Program]:
    """Build the program: a queue, the database, one pool of connections.

    Without ``opened`` it opens the books itself.
    """
    check(role, settings)
    own_routers = behaviours.own.routers(settings.behaviours)
    clock, at_home = clock or SystemClock(), home(settings)
    async with AsyncExitStack() as stack:
        kept = opened if opened is not None else await stack.enter_async_context(books(settings, clock))
        schedule = await stack.enter_async_context(schedule_of(settings, role, kept, clock))
        line = await stack.enter_async_context(line_to_telegram(settings, kept, schedule.news, clock))
        generator = await stack.enter_async_context(text_generator(settings))
        engine = engine_of(settings, role, kept, line, schedule, clock)
        await kept.uploads.purge_orphans()
        ids = Ids(await kept.ledger.last_id(), process=kept.process)
        talk = stack.enter_context(talk_of(settings, kept, line, engine, generator, own_routers, ids, clock))
        departures, loops = departures_of(settings, kept, line, engine, ids, clock), Loops()
        await schedule.begin()
        await engine.reach.load()
        await line.fleet.load()
        line.fleet.when_proved(partial(end_of_pause, engine.ledger, engine.broker))
        yield Program(
            settings=settings,
            role=role,
            home=at_home,
            books=kept,
            line=line,
            schedule=schedule,
            engine=engine,
            talk=talk,
            departures=departures,
            follower=Follower(news=schedule.news, fleet=line.fleet, reach=engine.reach, conditions=engine.conditions),
            lead=await stack.enter_async_context(leadership(database_url(settings), FEEDERS)),
            app=create_app(
                services(kept, line, engine, talk, departures, loops, at_home.admin_token, clock),
                takes_in=role.takes_in,
            ),
            loops=loops,
        )


def departures_of(settings: Settings, kept: Books, line: Line, engine: Engine, ids: Ids, clock: Clock) -> Departures:
    return Departures(
        roster=line.fleet.roster,
        bots=kept.bots,
        broker=engine.broker,
        clearance=Clearance(
            ledger=engine.ledger,
            broker=engine.broker,
            results=engine.results,
            conditions=engine.conditions,
            clock=clock,
        ),
        calls_end_within_s=settings.lease_ms / 1_000,
        ids=ids,
        conditions=engine.conditions,
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
        cancellations=Cancellations(
            broker=engine.broker,
            history=kept.history,
            results=engine.results,
            unscheduled=engine.dispatcher.unscheduled,
            conditions=engine.conditions,
            clock=clock,
        ),
        broker=engine.broker,
        ledger=engine.ledger,
        results=engine.results,
        history=kept.history,
        bots=kept.bots,
        limits=kept.limits,
        departures=departures,
        metrics=engine.metrics,
        conditions=engine.conditions,
        clock=clock,
        admin_token=admin_token,
        healthy=healthy,
    )
