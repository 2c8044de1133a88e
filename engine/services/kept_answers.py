"""The way to keep an answer under a key of one's own, whatever computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from tempogram.engine.cache.options import CacheOptions

R = TypeVar("R")


class KeptAnswers(ABC):
    """Answers that are kept, of this process or of all."""

    async def get_or_set(
        self,
        key: str,
        function: Callable[[], Awaitable[R]],
        ttl_s: float,
        *,
        early_s: float = 0.0,
        stale_s: float = 0.0,
        stale_if_error_s: float = 0.0,
        negative_ttl_s: float | None = None,
        slower_than_s: float = 0.0,
        errors: tuple[type[Exception], ...] = (),
        tags: tuple[str, ...] = (),
        type: Any = Any,  # noqa: A002 - the word of msgspec
    ) -> R:
        """Return what is kept under a key, or call a function and keep what it returns; see ``CacheOptions``.

        However many callers and processes ask meanwhile, it is called once. Each gets a value of its own, made from
        JSON; what has no JSON is returned to those that wait, and not kept.

        Args:
            key: Of nothing else, such as ``customer:7``.
            function: Without arguments; ``functools.partial`` gives it some.
            ttl_s: Seconds for which it is fresh.
            early_s: In so much of the end of them the first caller has it computed anew, without waiting.
            stale_s: So long after them it is returned all the same, while it is computed anew.
            stale_if_error_s: So long after them it is returned if computing it anew fails.
            negative_ttl_s: How long ``None`` and ``errors`` are fresh.
            slower_than_s: It is kept only if computing it took longer.
            errors: Errors that are answers.
            tags: Names under which it is forgotten together with others.
            type: What callers get.

        Raises:
            SettingsError: The key or a time makes no sense.
            Exception: What the function raised, unchanged.
        """
        options = CacheOptions(
            ttl_s=ttl_s,
            early_s=early_s,
            stale_s=stale_s,
            stale_if_error_s=stale_if_error_s,
            negative_ttl_s=negative_ttl_s,
            slower_than_s=slower_than_s,
            errors=errors,
            tags=tags,
            type=type,
        )
        return await self.kept(key, function, options)

    @abstractmethod
    async def kept(self, key: str, function: Callable[[], Awaitable[R]], options: CacheOptions) -> R:
        """Do as ``get_or_set``, with all options."""

    @abstractmethod
    async def forget(self, *keys: str, tags: Collection[str] = (), service: str | None = None) -> None:
        """Forget what is kept under keys, under tags, and of a service, in all processes.

        What is computed at this moment is not kept either.

        Raises:
            UnknownService: There is no such service.
            BrokerUnavailable: Redis is away; it is there still.
        """
