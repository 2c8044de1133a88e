"""The one line with which an aiogram program sends through Tempogram.

    async with Tempogram():
        await dispatcher.start_polling(bot)

or, where aiogram or aiohttp has the event loop:

    Tempogram().attach(dispatcher)
    dispatcher.run_polling(bot)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiogram import Dispatcher

from tempogram.bot.config.settings import load
from tempogram.bot.embedding.engine_task import EngineTask

Emit = Callable[..., Awaitable[None]]


class Tempogram:
    """The engine, for as long as the program's Dispatcher runs: every call of every ``Bot`` goes through it.

    The program keeps its Dispatcher, its event loop, its logging and its signal handlers. An instance may be used
    again after its end. It waits at the start for a PostgreSQL that is away; ``asyncio.timeout`` bounds that.

    Args:
        settings: By their names in lower case, such as ``redis_url``; the others are read from the environment and
            ``.env``. ``BOT_TOKENS`` and ``BEHAVIOURS`` are not acted upon.

    Raises:
        SettingsError: One sentence that names the first setting that makes no sense.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = load(**settings)
        self._engine: EngineTask | None = None

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    def attach(self, dispatcher: Dispatcher) -> None:
        """Run the engine while a Dispatcher runs, by polling or webhook.

        It starts before the first startup hook, and ends after the last shutdown hook; or when a startup hook fails.
        """
        wrapped = {
            "emit_startup": self._starting(dispatcher.emit_startup),
            "emit_shutdown": self._ending(dispatcher.emit_shutdown),
        }
        for name, emit in wrapped.items():  # of this Dispatcher: hooks of its routers are called by these two
            setattr(dispatcher, name, emit)

    def _starting(self, emit_startup: Emit) -> Emit:
        async def emit(*args: Any, **kwargs: Any) -> None:
            await self._start()
            try:
                await emit_startup(*args, **kwargs)
            except BaseException:
                await self._end()
                raise

        return emit

    def _ending(self, emit_shutdown: Emit) -> Emit:
        async def emit(*args: Any, **kwargs: Any) -> None:
            try:
                await emit_shutdown(*args, **kwargs)
            finally:
                await self._end()

        return emit

    async def _start(self) -> None:
        engine = EngineTask(self._settings)
        await engine.start()
        self._engine = engine

    async def _end(self) -> None:
        """End the engine; do nothing if it does not run."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.end()
