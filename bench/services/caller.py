"""One process that calls a service: its own ``Services`` over the Redis of all, without the rest of an engine.

It prints a line of JSON for each call, and for each change of its breaker. ``callers`` starts it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import Services
from tempogram.storage.database.database import Database
from tempogram.storage.services.uses import SqlCallUses

LOOKS_S = 0.05
SERVICE = "moody"
SAYS = b"caller: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one process does.

    Attributes:
        url: Of its own door to the service.
        declared: As in ``services.toml``.
        database_url: Where long windows are kept; empty: nowhere.
        is_wired: As the program is, with what the environment says, and not the three above.
        calls_per_s: Of each operation, whatever becomes of them; its breaker is watched.
        loops: Of each operation: each makes one call after another.
        speed: How much faster than the machine's its clock goes.
        is_broken: It shares its limits with no other process.
    """

    name: str
    url: str
    declared: str
    redis_url: str
    database_url: str = ""
    is_wired: bool = False
    calls_per_s: dict[str, float]
    loops: dict[str, int]
    speed: int = 1
    is_broken: bool = False


def say(*words: object) -> None:
    sys.stdout.buffer.write(SAYS + json.dumps([round(time.time(), 4), *words]).encode() + b"\n")
    sys.stdout.flush()


@asynccontextmanager
async def opened(work: Work) -> AsyncIterator[Services]:
    """Open its services until the block ends."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        uses = None
        if work.database_url:
            database = await Database.open(work.database_url)
            stack.push_async_callback(database.close)
            uses = SqlCallUses(database)
        redis = connect(work.redis_url)
        stack.push_async_callback(redis.aclose)
        faster = None if work.speed == 1 else lambda: clock() * work.speed
        declared = parse(work.declared, "services.toml")
        if work.is_broken:
            yield Services(declared, MemoryCallLimiter(clock=clock), clock=clock)
            return
        limiter = RedisCallLimiter(redis, work.name, uses=uses, clock=faster)
        stack.push_async_callback(limiter.close)
        services = Services(declared, limiter, clock=faster or clock)
        limiter.on_failing = services.believe_failing
        yield services


@asynccontextmanager
async def wired() -> AsyncIterator[Services]:
    """Open the services as the program wires them, from its environment."""
    from tempogram.bot.config.process_roles import ProcessRole  # here: aiogram and what needs it take a second
    from tempogram.bot.config.settings import Settings
    from tempogram.bot.wiring.context import Context
    from tempogram.bot.wiring.services import services_of
    from tempogram.bot.wiring.storage import open_storage

    context = Context(settings=Settings(), role=ProcessRole.WORKER, clock=SystemClock())
    async with (
        open_storage(context.settings, context.clock) as storage,
        services_of(context, storage, MemoryChanges(), Metrics()) as (services, _),
    ):
        yield services


class Calling:
    """Makes the calls of one process."""

    def __init__(self, work: Work, services: Services, session: aiohttp.ClientSession) -> None:
        self._work = work
        self._services = services
        self._session = session
        self._under_way: set[asyncio.Task[None]] = set()

    async def call(self, operation: str) -> None:
        """Make one call, and say what became of it."""
        tries = 0

        async def attempt() -> aiohttp.ClientResponse:
            nonlocal tries
            tries += 1
            url = f"{self._work.url}/{operation}"
            async with self._session.get(url, params={"attempt": str(tries)}) as response:
                await response.read()
                return response

        try:
            response = await self._services.call(SERVICE, operation, attempt)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what became of the call
            say("call", operation, type(error).__name__, tries)
        else:
            say("call", operation, str(response.status), tries)

    async def loop(self, operation: str) -> None:
        while True:
            await self.call(operation)
            await asyncio.sleep(0.01)  # a call may be refused at once

    async def steadily(self, operation: str, calls_per_s: float) -> None:
        due_s = time.monotonic()
        while True:
            task = asyncio.create_task(self.call(operation))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due_s += 1 / calls_per_s
            await asyncio.sleep(due_s - time.monotonic())

    async def watch(self, operation: str) -> None:
        """Say each change of a breaker."""
        known = ""
        while True:
            seen = await self._services.state(SERVICE)
            if (state := seen.operations[operation].breaker) != known:
                say("breaker", operation, state)
                known = state
            await asyncio.sleep(LOOKS_S)


async def run(work: Work) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        wired() if work.is_wired else opened(work) as services,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        calling = Calling(work, services, session)
        say("ready")
        await asyncio.gather(
            *(calling.loop(name) for name, loops in work.loops.items() for _ in range(loops)),
            *(calling.steadily(name, rate) for name, rate in work.calls_per_s.items()),
            *(calling.watch(name) for name in work.calls_per_s),
        )


if __name__ == "__main__":
    asyncio.run(run(Work(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
