"""``tempogram.services``: calls of other services, by the engine that runs in this program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from tempogram.bot.embedding import current
from tempogram.engine.cache.keys import stands_for
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.services.kept_answers import KeptAnswers
from tempogram.engine.services.services import CallOptions, ServiceCalls

P = ParamSpec("P")
R = TypeVar("R")


class CurrentServices(ServiceCalls, KeptAnswers):
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
        engine = current.engine()
        if engine.gateway.loop.is_here:
            return await engine.services.call_with(options, service, operation, function, *args, **kwargs)
        from_here = _in_this_loop(function)
        return await engine.gateway.loop.run(
            engine.services.call_with(options, service, operation, from_here, *args, **kwargs)
        )

    async def kept(self, key: str, function: Callable[[], Awaitable[R]], options: CacheOptions) -> R:
        """See ``KeptAnswers``."""
        engine = current.engine()
        if engine.gateway.loop.is_here:
            return await engine.services.kept(key, function, options)
        from_here = _in_this_loop(function)
        return await engine.gateway.loop.run(engine.services.kept(key, from_here, options))

    async def forget(self, *keys: str, tags: Collection[str] = (), service: str | None = None) -> None:
        """See ``KeptAnswers``."""
        engine = current.engine()
        await engine.gateway.loop.run(engine.services.forget(*keys, tags=tags, service=service))

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


def _in_this_loop(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return what calls a function in this event loop, wherever it is called itself."""
    here = asyncio.get_running_loop()

    async def called(*args: P.args, **kwargs: P.kwargs) -> R:
        return await function(*args, **kwargs)

    async def from_anywhere(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(*args, **kwargs), here))

    return stands_for(function, from_anywhere)
