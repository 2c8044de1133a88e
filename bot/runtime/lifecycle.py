"""What runs while the program runs, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from tempogram.api.core.ports import TelegramUnreachable, UnknownToken
from tempogram.bot.wiring.program import Program

log = structlog.get_logger()

SHUTDOWN_S = 10.0
"""How long handlers may take to end after the signal."""

HEARING_S = 1.0
"""How long a start waits until it can hear what other processes answer. A guess."""

SETTLE_S = 5.0
"""How long the outcomes of the last calls may take to be written, after these calls."""


@asynccontextmanager
async def running(built: Program) -> AsyncIterator[None]:
    """Send and handle until the block ends; then finish what is under way, at most ``SHUTDOWN_S``."""
    role = built.role
    keeping = built.loops.start(*(loop() for loop in built.queue.loops))
    tasks = built.loops.start(*_loops(built))
    sending = built.loops.start(built.engine.worker.run()) if role.sends else []
    try:
        await _within(HEARING_S, built.queue.hears())  # while Redis is away there is nothing to be heard
        await asyncio.gather(*(add_bot(built, token.get_secret_value()) for token in built.settings.bot_tokens))
        await built.updates.handlers.emit_startup(**_told(built))
        resumed = await built.updates.intake.resume() if role.takes_in or role.update_sources else 0
        log.info("started", role=role.command, bots=len(built.telegram.fleet.registry.bot_ids), resumed_updates=resumed)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await built.removals.end()
        await _finish("handlers", built.updates.pool.drain(), within_s=SHUTDOWN_S)
        await _finish("shutdown handlers", _tell_end(built), within_s=SHUTDOWN_S)
        # A call that is cut off is uncertain, and may be sent twice; so each may take as long as a call takes.
        if role.sends:
            await built.engine.worker.finish(within_s=built.settings.telegram_timeout, conclude_s=SETTLE_S)
            await _finish("worker", _all(sending), within_s=SETTLE_S)
        await _finish("answers and news", built.queue.say_the_rest(), within_s=SETTLE_S)
        for task in keeping:  # until now: what was under way is settled there
            task.cancel()
        await asyncio.wait(keeping)


def _loops(built: Program) -> Iterator[Coroutine[Any, Any, None]]:
    """Return what runs beside the sending, by the process's role."""
    yield built.cache_invalidation.run()
    yield built.engine.dispatcher.pending_admissions.run()
    if built.role.sends:
        yield built.engine.recoverer.run()
    if built.role.takes_in or built.role.update_sources:
        yield built.updates.intake.adopt()


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
        log.warning("stopped with work under way; the next start takes it up", what=what, seconds=within_s)


async def _tell_end(built: Program) -> None:
    """Tell a router's own handlers; one that fails must not keep ours from ending."""
    try:
        await built.updates.handlers.emit_shutdown(**_told(built))
    except Exception as error:
        log.exception("a shutdown handler failed", reason=type(error).__name__)


def _told(built: Program) -> dict[str, Any]:
    """Return what aiogram tells a router's own handlers of start and end."""
    bots = [built.telegram.fleet.registry.bot(bot_id) for bot_id in built.telegram.fleet.registry.bot_ids]
    last = {"bot": bots[-1]} if bots else {}
    return {"dispatcher": built.updates.handlers, "bots": bots, **built.updates.handlers.workflow_data, **last}


async def add_bot(built: Program, token: str) -> None:
    """Run a bot that the environment names, even while Telegram cannot be asked who it is."""
    fleet = built.telegram.fleet
    if fleet.registry.is_verified(token):
        return
    try:
        await fleet.add(token, None, patience_s=0)
    except UnknownToken as error:
        # The others run on. Its messages are kept, and it is paused by the first call that Telegram refuses.
        log.error("alert", kind="token_revoked", reason=str(error))  # noqa: TRY400 - one sentence, no traceback
        await fleet.add_unverified(token)
    except TelegramUnreachable as error:
        log.warning("bot added unasked", reason=str(error))
        await fleet.add_unverified(token)
