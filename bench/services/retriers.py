"""Calls to a service that answers only errors: ours, and those of two libraries that retry, where they are installed.

Each makes up to four attempts, 10 to 50 ms apart. Ours has no breaker here, and does not space its calls out: what is
compared is the number of retries alone.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp

from bench.services.caller import SERVICE
from bench.services.moody_server import MoodyServer
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services

AT_ONCE = 9  # fewer than make a rate of failures, so that ours is not spaced out
ATTEMPTS = 4
WAIT_S, WAIT_MAX_S = 0.01, 0.05

DECLARED = f"""
[{SERVICE}]
concurrency = {AT_ONCE}
retries = {ATTEMPTS - 1}
delay_s = {WAIT_S}
breaker = {{failures = 0, within_ms = 1}}

[{SERVICE}.operations]
ask = {{idempotent = true}}
"""

Attempt = Callable[[], Awaitable[Any]]
Call = Callable[[Attempt], Awaitable[Any]]


def ours() -> Call:
    clock = SystemClock()
    limiter = MemoryCallLimiter(clock=clock, after_start=False)
    services = Services(parse(DECLARED, "services.toml"), limiter, clock=clock)

    async def call(attempt: Attempt) -> Any:
        return await services.call(SERVICE, "ask", attempt)

    return call


def tenacity() -> Call:
    library = importlib.import_module("tenacity")

    async def call(attempt: Attempt) -> Any:
        retrying = library.AsyncRetrying(
            stop=library.stop_after_attempt(ATTEMPTS),
            wait=library.wait_random_exponential(multiplier=WAIT_S, max=WAIT_MAX_S),
            reraise=True,
        )
        return await retrying(attempt)

    return call


def stamina() -> Call:
    library = importlib.import_module("stamina")
    library.instrumentation.set_on_retry_hooks([])  # else it logs each

    async def call(attempt: Attempt) -> Any:
        waits = {"wait_initial": WAIT_S, "wait_jitter": WAIT_S, "wait_max": WAIT_MAX_S}
        async for each in library.retry_context(on=aiohttp.ClientError, attempts=ATTEMPTS, timeout=None, **waits):
            with each:
                await attempt()

    return call


RETRIERS: dict[str, Callable[[], Call]] = {"ours": ours, "tenacity": tenacity, "stamina": stamina}


async def answers(server: MoodyServer, first_attempts: int) -> AsyncIterator[tuple[str, int | None]]:
    """Yield who called, and how many calls the service got for so many first attempts; None: it is not installed."""
    for name, make in RETRIERS.items():
        if name != "ours" and importlib.util.find_spec(name) is None:
            yield name, None
            continue
        before = len(server.served)
        await _calls(make(), server.url(0), first_attempts)
        yield name, len(server.served) - before


async def _calls(call: Call, url: str, first_attempts: int) -> None:
    numbers = iter(range(first_attempts))
    async with aiohttp.ClientSession(raise_for_status=True) as session:

        async def attempt() -> None:
            async with session.get(url) as response:
                await response.read()

        async def one_after_another() -> None:
            for _ in numbers:
                try:
                    await call(attempt)
                except aiohttp.ClientResponseError:
                    continue

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
