"""Starts the background tasks, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tempogram.api.core.ports import TelegramUnreachable, UnknownToken
from tempogram.bot.runtime.loop_beats import LoopBeats
from tempogram.bot.runtime.memory_trim import MemoryTrim, malloc_trim
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.bot.terminal.steps import step
from tempogram.bot.wiring.program import Program
from tempogram.engine.failover.leader_election import while_leading
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from tempogram.bot.behaviours.dispatchers import Dispatchers

log = structlog.get_logger()

SHUTDOWN_S = 10.0
"""How long handlers may run on after the signal."""

LISTENING_S = 1.0
"""How long a start waits for the result channel; untuned: without it, a result is read from the ledger."""

TITLES_MAX = 10_000
"""Chats of earlier starts that are shown by their names. untuned: others are, once something comes from them."""

REPORTED_S = 1.0
"""How long an end may take to say that the loops of this process are no more; another process says it otherwise."""

SETTLE_S = 5.0
"""How long writing the outcomes of the last calls may take, after these calls."""


@asynccontextmanager
async def running(built: Program, *, cut_short: asyncio.Event | None = None) -> AsyncIterator[None]:
    """Send messages and handle updates until the block ends; then finish what is under way, at most ``SHUTDOWN_S``.

    So long it is the engine of ``tempogram.send`` and its like. Once ``cut_short`` is set, nothing is waited for: what
    is not finished is as after a kill.
    """
    with _current(built):
        async with _running(built, cut_short):
            yield


def _current(built: Program) -> AbstractContextManager[None]:
    """Let the program be the one that ``tempogram.send`` and its like use, unless it only sends."""
    if built.context.role.only_sends:
        return nullcontext()
    from tempogram.bot.embedding import current  # aiogram

    return current.of(built)


@asynccontextmanager
async def _running(built: Program, cut_short: asyncio.Event | None) -> AsyncIterator[None]:
    settings, role = built.context.settings, built.context.role
    if (conversation := built.context.conversation) is not None:
        conversation.name(built.telegram.bots.registry, await built.storage.chats.titles(limit=TITLES_MAX))
    waiting, beats = await _waiting(built), _beats(built)
    queue_loops = built.loops.start(*(loop() for loop in built.queue.loops))
    tasks = built.loops.start(*_loops(built), beats.run())
    sending = built.loops.start(built.engine.worker.run()) if role.sends else []
    scheduling: list[asyncio.Task[None]] = []
    try:
        await _within(LISTENING_S, built.queue.listening())  # without Redis it cannot listen
        if role.runs_own_bots:
            with step("asks Telegram for the names of its bots"):
                await add_bots(built, [token.get_secret_value() for token in settings.bot_tokens])
        if role.handles_updates:
            tasks += built.loops.start(built.front.updates.dispatchers.follow())
            log_silent_bots(built)
        scheduling = built.loops.start(*_scheduling(built))
        with step("takes up updates that were not handled"):
            resumed = await built.front.updates.intake.resume() if role.handles_updates else 0
        bots = len(built.telegram.bots.registry.bot_ids)
        log.info("started", role=role.command, bots=bots, waiting=waiting, resumed_updates=resumed)
        yield
    finally:
        for task in tasks:
            task.cancel()
        try:
            if not await until_done_or(cut_short, _end(built, sending)):
                log.warning("end_cut_short")
        finally:
            for task in (*sending, *scheduling, *queue_loops):  # last: they settle what was under way
                task.cancel()
            await asyncio.wait((*tasks, *sending, *scheduling, *queue_loops))
            with contextlib.suppress(LedgerError):
                await _within(REPORTED_S, beats.end())


async def _end(built: Program, sending: Sequence[asyncio.Task[None]]) -> None:
    """Finish what is under way."""
    if (front := built.front_if_any) is not None:
        await front.removals.end()
        await _finish("handlers", front.updates.pool.stop(), within_s=SHUTDOWN_S)
        if front.scheduler is not None:
            await _finish("tasks", front.scheduler.stop(), within_s=SHUTDOWN_S)
        await _finish("shutdown handlers", front.updates.dispatchers.stop(), within_s=SHUTDOWN_S)
    # A call that is cut off is uncertain and may be sent twice, so each has its full timeout.
    if built.context.role.sends:
        await built.engine.worker.finish(within_s=built.context.settings.telegram_timeout, conclude_s=SETTLE_S)
        await _finish("worker", _all(sending), within_s=SETTLE_S)
    await _finish("results and announcements", built.queue.flush(), within_s=SETTLE_S)
    if (counts := built.engine.fleet_counts) is not None:
        with contextlib.suppress(LedgerError):
            await _finish("counters", counts.flush(), within_s=SETTLE_S)


async def until_done_or(cut_short: asyncio.Event | None, work: Coroutine[Any, Any, None]) -> bool:
    """Do work until it is done, or ``cut_short`` is set: then it is cancelled; return whether it is done."""
    doing = asyncio.create_task(work)
    cutting = asyncio.create_task((cut_short or asyncio.Event()).wait())
    try:
        await asyncio.wait((doing, cutting), return_when=asyncio.FIRST_COMPLETED)
        is_done = doing.done()
        if is_done:
            await doing
        return is_done
    finally:
        for task in (doing, cutting):
            task.cancel()
        await asyncio.wait((doing, cutting))


async def watch_ownership(built: Program) -> None:
    """Wait until another program has what this one sends by; then stop to send.

    Raises:
        SettingsError: Another one has the database now, or the queue in Redis is that of another database.
    """
    watching = [asyncio.ensure_future(watch()) for watch in (built.storage.exclusive_lock.watch, built.queue.watch)]
    try:
        done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            await each
    except Exception:
        built.engine.worker.stop()
        raise
    finally:
        for each in watching:
            each.cancel()


async def _waiting(built: Program) -> int | None:
    """Return how many messages wait; None if the queue cannot be asked yet."""
    try:
        stats = await built.queue.broker.stats()
    except BrokerUnavailable:
        return None
    return sum(stats.waiting.values()) + stats.retry


def _loops(built: Program) -> Iterator[Coroutine[Any, Any, None]]:
    """Return the loops of the process's role, except sending."""
    yield built.cache_invalidation.run()
    yield built.engine.dispatcher.pending_admissions.run()
    yield built.engine.parked_messages.run()
    yield built.sightings.run()
    if built.engine.fleet_counts is not None:
        yield built.engine.fleet_counts.run()
    yield MemoryTrim(trim=malloc_trim()).run()
    if built.context.role.sends:
        yield built.engine.recoverer.run()
    if built.context.role.handles_updates:
        yield built.front.updates.intake.adopt()
    if (conversation := built.context.watched_by) is not None:
        yield conversation.follow(built.queue.broker).run()
    if built.context.role.does_upkeep:
        yield built.front.alerting.alerts.watch_database()
        yield _upkeep(built)


def _beats(built: Program) -> LoopBeats:
    storage, settings = built.storage, built.context.settings
    check_s = settings.alert_check_s
    return LoopBeats(
        built.loops,
        storage.beats,
        storage.members,
        process=storage.process,
        role=built.context.role.command,
        clock=built.context.clock,
        periods_s={"recoverer": settings.lease_ms / 2_000, "alerts": check_s, "sightings": check_s},
    )


def _scheduling(built: Program) -> Iterator[Coroutine[Any, Any, None]]:
    if (front := built.front_if_any) is not None and front.scheduler is not None:
        yield _scheduler(front.scheduler, front.updates.dispatchers)


async def _scheduler(scheduler: Scheduler, dispatchers: Dispatchers) -> None:
    """Run tasks once the modules' hooks of startup have run: tasks use what these open."""
    await dispatchers.start()
    await scheduler.run()


async def _upkeep(built: Program) -> None:
    await while_leading(built.upkeep_lock, partial(_keep_up, built))


async def _keep_up(built: Program) -> None:
    """Do the upkeep, which one process does for all: tasks, unfinished removals, broadcasts and alerts."""
    async with asyncio.TaskGroup() as group:
        group.create_task(built.front.removals.keep_resuming())
        if built.front.scheduler is not None:
            group.create_task(built.front.scheduler.lead())
        group.create_task(built.front.alerting.alerts.lead())
        group.create_task(built.front.broadcasting.feeder.lead())


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


async def _within(seconds: float, work: Awaitable[Any]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def _finish(what: str, work: Awaitable[None], *, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await work
    except TimeoutError:
        log.warning("shutdown_timeout", what=what, seconds=within_s)  # the next start continues it


async def add_bots(built: Program, tokens: Sequence[str]) -> None:
    """Run the bots of ``BOT_TOKENS``, also while Telegram does not answer ``getMe``."""
    reasons = [reason for reason in await asyncio.gather(*(add_bot(built, token) for token in tokens)) if reason]
    if reasons:
        log.warning("bots_added_unverified", bots=len(reasons), reason=reasons[0])
    if built.context.role.handles_updates:  # another process does not know the modules
        for token in tokens:
            await built.front.fleet.follow_settings(bot_id_of(token))


async def add_bot(built: Program, token: str) -> str | None:
    """Run a bot; return why Telegram could not be asked for its name, if so."""
    fleet = built.front.fleet
    if fleet.registry.is_verified(token):
        return None
    try:
        await fleet.add_of_settings(token)
    except UnknownToken as error:
        # The other bots run. Its messages are kept, and the first call that Telegram refuses pauses it.
        log.error("alert", kind="token_revoked", reason=str(error))  # noqa: TRY400 - one sentence, no traceback
        await fleet.add_unverified(token)
    except TelegramUnreachable as error:
        await fleet.add_unverified(token)
        return str(error)
    return None


def log_silent_bots(built: Program) -> None:
    """Say which bots answer nothing, in the process that holds the update sources, and what is wrong with which."""
    if not built.context.role.update_sources:
        return
    for unusable in built.front.behaviours.unusable:
        log.warning("behaviour_needs_settings", behaviour=unusable.name, reason=unusable.reason)
    registry, missing = built.telegram.bots.registry, Counter[str]()
    for bot_id in registry.bot_ids:
        names = registry.registered(bot_id).behaviours
        unknown = built.front.updates.dispatchers.missing(names)
        missing.update(unknown)
        if registry.gets_updates(bot_id) and unknown == set(names):
            log.info("bot_answers_nothing", bot_id=bot_id, way_out=f"choose a behaviour: {_example(built, bot_id)}")
    for name, bots in missing.items():
        log.warning("behaviour_not_loaded", behaviour=name, bots=bots, way_out="name its module in BEHAVIOURS")


def _example(built: Program, bot_id: int) -> str:
    return f'PATCH /bots/{bot_id} {{"behaviours": {{"{built.front.behaviours.example}": {{}}}}}}'
