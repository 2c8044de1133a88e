"""The services that behaviours call, with their limits: in this process, or in Redis for all processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tempogram.bot.config.environment import variables
from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import Service, from_environment, parse, shipped
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import Services

FILE_BYTES_MAX = 1 << 20
"""Of ``services.toml``. untuned: a thousand services have 200 KB."""


@asynccontextmanager
async def services_of(context: Context, storage: Storage) -> AsyncIterator[Services]:
    """Read which services there are, and open their limits.

    Raises:
        SettingsError: A declaration makes no sense; it says where.
    """
    settings, clock = context.settings, context.clock
    declared = declared_services(settings)
    if not settings.redis_url:
        alone = MemoryCallLimiter(clock=clock, uses=storage.call_uses)
        try:
            yield Services(declared, alone, clock=clock, is_enabled=settings.rate_limit_enabled)
        finally:
            await alone.close()
        return
    redis = connect(settings.redis_url)
    shared = RedisCallLimiter(redis, f"{storage.process:08x}", uses=storage.call_uses)
    services = Services(declared, shared, clock=clock, is_enabled=settings.rate_limit_enabled)
    shared.on_failing = services.believe_failing
    try:
        yield services
    finally:
        await shared.close()
        await redis.aclose()


def declared_services(settings: Settings) -> dict[str, Service]:
    """Return what is shipped, declared in ``services.toml`` and set in the environment; each overrides those before."""
    services = shipped()
    if (path := _file(settings)) is not None:
        services |= parse(_text(path), path.name, services, window_ms=settings.default_rate_limit_window)
    environment = variables()
    return {name: _with_defaults(from_environment(each, environment), settings) for name, each in services.items()}


def _with_defaults(service: Service, settings: Settings) -> Service:
    if service.limit.concurrency:
        return service
    return replace(service, limit=replace(service.limit, concurrency=settings.default_concurrency_limit))


def _file(settings: Settings) -> Path | None:
    if settings.services_file is not None:
        return settings.services_file
    path = settings.data_dir / "services.toml"
    return path if path.is_file() else None


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
