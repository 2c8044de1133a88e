"""``tempogram.services``: calls of other services, by the engine that runs in this program."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from tempogram.bot.embedding import current
from tempogram.engine.services.services import CallOptions, ServiceCalls

P = ParamSpec("P")
R = TypeVar("R")


class CurrentServices(ServiceCalls):
    """The services of the engine that runs in this program; see ``ServiceCalls``.

    It may be used in any task, event loop and thread: the limits are in the engine's loop, and the function that is
    called runs in its caller's. Without an engine each call raises ``RuntimeError``.
    """

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
        """See ``ServiceCalls``."""
        engine, here = current.engine(), asyncio.get_running_loop()
        work = functools.partial(function, *args, **kwargs)
        if engine.gateway.loop.is_here:
            return await engine.service_calls.call_with(options, service, operation, work)

        async def work_here() -> R:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(work), here))

        return await engine.gateway.loop.run(engine.service_calls.call_with(options, service, operation, work_here))


services = CurrentServices()


async def _awaited(work: Callable[[], Awaitable[R]]) -> R:
    return await work()
