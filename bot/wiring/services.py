"""The services that behaviours call, with their limits: in this process, or in Redis for all processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tempogram.bot.config.data_dir import services_file
from tempogram.bot.config.environment import variables
from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.redis_backend import RedisBackend
from tempogram.engine.cache.store import CacheStore
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.ids import number_of
from tempogram.engine.observability.cache_metrics import CacheMetrics
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports.changes import Changes
from tempogram.engine.services.catalogue import ALL, Service, from_environment, parse, shipped
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import Services

FILE_BYTES_MAX = 1 << 20
"""Of ``services.toml``. untuned: a thousand services have 200 KB."""


@asynccontextmanager
async def services_of(
    context: Context, storage: Storage, changes: Changes, metrics: Metrics
) -> AsyncIterator[tuple[Services, ChangedServices]]:
    """Read which services there are and what was changed of them, and open their limits.

    Raises:
        SettingsError: A declaration makes no sense; it says where.
        LedgerError: The database cannot be reached.
    """
    settings, clock = context.settings, context.clock
    declared = declared_services(settings)
    async with _limiter_of(context, storage) as limiter, cache_of(context, metrics.cache) as cache:
        is_enabled = settings.rate_limit_enabled
        services = Services(
            declared, limiter, clock=clock, is_enabled=is_enabled, metrics=metrics.services, cache=cache
        )
        if isinstance(limiter, RedisCallLimiter):
            limiter.on_failing = services.believe_failing
        window_ms = settings.default_rate_limit_window
        changed = ChangedServices(services, declared, storage.services, changes, window_ms=window_ms)
        await changed.begin()
        yield services, changed


@asynccontextmanager
async def cache_of(context: Context, metrics: CacheMetrics) -> AsyncIterator[Cache]:
    """Open what keeps answers: in memory, or in Redis for all processes."""
    settings, bytes_max = context.settings, context.settings.cache_mb << 20
    if settings.redis_url:
        backend: MemoryBackend | RedisBackend = RedisBackend(settings.redis_url, bytes_max)
    else:
        backend = MemoryBackend(bytes_max)
        metrics.held = backend.held
    store = CacheStore(backend, clock=context.clock)
    cache = Cache(store, clock=context.clock, metrics=metrics)
    await store.open()
    try:
        yield cache
    finally:
        await cache.close()
        await store.close()


@asynccontextmanager
async def _limiter_of(context: Context, storage: Storage) -> AsyncIterator[MemoryCallLimiter | RedisCallLimiter]:
    settings = context.settings
    if not settings.redis_url:
        alone = MemoryCallLimiter(clock=context.clock, uses=storage.call_uses)
        try:
            yield alone
        finally:
            await alone.close()
        return
    redis = connect(settings.redis_url)
    shared = RedisCallLimiter(redis, number_of(storage.process), uses=storage.call_uses, here=context.clock)
    try:
        yield shared
    finally:
        await shared.close()
        await redis.aclose()


def declared_services(settings: Settings) -> dict[str, Service]:
    """Return what is shipped, declared in ``services.toml`` and set in the environment; each overrides those before."""
    services = {ALL: Service(name=ALL), **shipped()}
    if (path := services_file(settings)) is not None:
        services |= parse(_text(path), path.name, services, window_ms=settings.default_rate_limit_window)
    environment = variables()
    return {name: _with_defaults(from_environment(each, environment), settings) for name, each in services.items()}


def _with_defaults(service: Service, settings: Settings) -> Service:
    if service.limit.concurrency or service.name == ALL:
        return service
    return replace(service, limit=replace(service.limit, concurrency=settings.default_concurrency_limit))


def _text(path: Path) -> str:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"SERVICES_FILE is {str(path)!r}, which cannot be read ({error.strerror}); correct it, or leave it out"
        ) from None
    if len(text) > FILE_BYTES_MAX:
        raise SettingsError(f"{path.name} has {len(text):,} bytes; it may have {FILE_BYTES_MAX:,}")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name} is not UTF-8") from None
