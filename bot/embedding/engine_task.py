"""The engine in a user's program: a task of its own, from the start to the end.

It ends in this order, in ``TELEGRAM_TIMEOUT`` and ``CLOSE_S`` at the most, and at once at a second Ctrl-C:

1.  Calls that wait for places are cancelled; what they submitted stays accepted. Handlers and tasks have
    ``HANDLERS_S``.
2.  New calls are refused, and those under way finish.
3.  The queue and the database are closed; what waits goes at the next start.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, suppress

import structlog

from tempogram.bot.calls import session
from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.logging import through_standard_logger
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.bot.embedding.feeding import Feeding
from tempogram.bot.embedding.second_signal import second_signal
from tempogram.bot.runtime.lifecycle import running, until_done_or, watch_ownership
from tempogram.bot.runtime.start_wait import started
from tempogram.bot.wiring import Program, program
from tempogram.storage.database.engines import name_of

log = structlog.get_logger()

HANDLERS_S = 3.0
"""Time in which handlers and tasks that still run may end, and make their calls. untuned: most take under a second."""

CLOSE_S = 5.0
"""Time beyond ``TELEGRAM_TIMEOUT`` in which all must be over."""

CUT_S = 1.0
"""Time of it that is left for closing connections, when all else is cut short. untuned."""

HAS_ENDED = "Tempogram has ended, so this call was not accepted; make calls while it runs"

RUNS_ALREADY = (
    "a Tempogram runs in this program already, and two would send twice as fast as allowed; have one around all "
    "Dispatchers and bots (a module of `tempogram run` needs none)"
)

_one = threading.Lock()
"""Held by the engine of this program."""


class EngineTask:
    """The engine of this program; it starts and ends once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = asyncio.Event()
        self._ending = asyncio.Event()
        self._cut_short = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and return when calls are taken; a database that is away is waited for.

        Raises:
            RuntimeError: Another engine runs in this program.
            EngineError: It cannot start; one sentence says why.
        """
        if session.is_installed() or not _one.acquire(blocking=False):
            raise RuntimeError(RUNS_ALREADY)
        self._task = asyncio.create_task(self._live(), name="tempogram")
        self._task.add_done_callback(lambda _: _one.release())
        try:
            await self._until_started(self._task)
        except asyncio.CancelledError:
            self._cut_short.set()
            self._task.cancel()
            await asyncio.wait([self._task])
            raise

    async def end(self) -> None:
        """End, within ``TELEGRAM_TIMEOUT`` and ``CLOSE_S``.

        Raises:
            SettingsError: It has ended before, as another program took its database.
        """
        assert self._task is not None, "it was started"  # noqa: S101
        self._ending.set()
        with second_signal(self._cut_short.set):
            try:
                await asyncio.wait([self._task], timeout=self._settings.telegram_timeout + CLOSE_S)
            except asyncio.CancelledError:  # the program is ended otherwise: that, too, is for the second time
                self._cut_short.set()
                await asyncio.wait([self._task], timeout=CUT_S)
                raise
        if not self._task.done():
            self._task.cancel()
        else:
            await self._task

    async def _until_started(self, task: asyncio.Task[None]) -> None:
        starting = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait((task, starting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
        if task.done():
            await task  # raises why it did not start

    async def _live(self) -> None:
        with through_standard_logger():
            async with AsyncExitStack() as stack:
                database = name_of(database_url(self._settings))
                await self._take_calls(await started(stack, self._enter, database=database))

    async def _enter(self, stack: AsyncExitStack) -> Program:
        built = await stack.enter_async_context(program(self._settings, ProcessRole.EMBEDDED))
        await stack.enter_async_context(running(built, cut_short=self._cut_short))
        return built

    async def _take_calls(self, built: Program) -> None:
        feeding = feeding_of(built)
        gateway = built.front.updates.gateway
        with feeding.of_every_dispatcher():
            self._started.set()
            try:
                await self._until_ending(built)
            finally:
                bound_s = self._settings.telegram_timeout + CLOSE_S - CUT_S
                asyncio.get_running_loop().call_later(bound_s, self._cut_short.set)
                gateway.end_waits()
                with suppress(TimeoutError):
                    async with asyncio.timeout(HANDLERS_S):
                        await until_done_or(self._cut_short, _finish(built, feeding))
                gateway.refuse_calls(HAS_ENDED)

    async def _until_ending(self, built: Program) -> None:
        watching = asyncio.create_task(watch_ownership(built))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait((watching, ending), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
        except Exception as error:
            log.error("engine_ended", reason=str(error))  # noqa: TRY400 - one sentence, no traceback
            built.front.updates.gateway.refuse_calls(f"Tempogram has ended: {error}")
            raise
        finally:
            watching.cancel()
            ending.cancel()


async def _finish(built: Program, feeding: Feeding) -> None:
    """Wait for handlers and tasks that are under way: afterwards they can make no calls."""
    scheduler = built.front.scheduler
    await asyncio.gather(feeding.finish(), *([scheduler.stop()] if scheduler is not None else []))


def feeding_of(built: Program) -> Feeding:
    return Feeding(
        gateway=built.front.updates.gateway,
        fleet=built.front.fleet,
        observer=built.front.updates.observer,
        recorder=built.front.updates.recorder,
        hearing=built.engine.hearing,
        clock=built.context.clock,
    )
