"""``tempogram.services``: calls of other services, by the engine that runs in this program."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from tempogram.bot.embedding import current
from tempogram.engine.services.services import PLAIN, CallOptions

P = ParamSpec("P")
R = TypeVar("R")


class CurrentServices:
    """The services of the engine that runs in this program; see ``engine.services.services.Services``.

    It may be used in any task, event loop and thread: the limits are in the engine's loop, and the function that is
    called runs in its caller's. Without an engine each call raises ``RuntimeError``.
    """

    async def call(
        self, service: str, operation: str, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function when the service's limits let it, and return what it returns.

        Raises:
            ServiceError: It was not called, or given up.
            Exception: What the function raised, unchanged, when no attempt is left.
            RuntimeError: No engine runs.
        """
        return await self.call_with(PLAIN, service, operation, function, *args, **kwargs)

    async def call_with(
        self,
        options: CallOptions,
        service: str,
        operation: str,
        function: Callable[P, Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Do as ``call``, with options of this call's own."""
        engine, here = current.engine(), asyncio.get_running_loop()
        work = functools.partial(function, *args, **kwargs)
        if engine.gateway.loop.is_here:
            return await engine.service_calls.call_with(options, service, operation, work)

        async def work_here() -> R:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(work), here))

        return await engine.gateway.loop.run(engine.service_calls.call_with(options, service, operation, work_here))

    def limited(
        self, service: str, operation: str, options: CallOptions = PLAIN
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Return a decorator: each call of the function is a call of the service."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @functools.wraps(function)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                return await self.call_with(options, service, operation, function, *args, **kwargs)

            return limited

        return decorate


services = CurrentServices()


async def _awaited(work: Callable[[], Awaitable[R]]) -> R:
    return await work()
