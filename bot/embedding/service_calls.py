"""``tempogram.services``: calls of other services, by the engine that runs in this program."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

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
            return await engine.services.call_with(options, service, operation, work)

        async def work_here() -> R:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(work), here))

        return await engine.gateway.loop.run(engine.services.call_with(options, service, operation, work_here))

    async def update_limits(self, name: str, changes: Mapping[str, Any]) -> None:
        """Change what is allowed of a service, for all processes and after a restart, until ``reset_limits``.

        Args:
            name: The service.
            changes: In the words of ``services.toml``, such as ``{"operations": {"sms": {"count": 2}}}``; what they
                leave out stays.

        Raises:
            UnknownService: There is no such service, or operation.
            SettingsError: The changes make no sense. Nothing was changed.
            LedgerError: The database cannot be reached; they may have been stored.
        """
        engine = current.engine()
        await engine.gateway.loop.run(engine.changed_services.update_limits(name, changes))

    async def reset_limits(self, name: str) -> None:
        """Return to what is declared of a service. Raises as ``update_limits``."""
        engine = current.engine()
        await engine.gateway.loop.run(engine.changed_services.reset(name))


services = CurrentServices()


async def _awaited(work: Callable[[], Awaitable[R]]) -> R:
    return await work()
