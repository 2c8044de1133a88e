"""One process that calls a strict server through ``Services`` as fast as its limits allow, until it is ended.

python -m bench.services.strict_client '{"server": …, "load": [["twilio", "voice", 6]], …}'
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import uvloop

from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.catalogue import Service, service_of, shipped
from tempogram.engine.services.clients.http_requests import ReadAnswer
from tempogram.engine.services.clients.httpx_transport import ServiceTransport
from tempogram.engine.services.errors import ServiceError
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import CallOptions, Services
from tempogram.storage.database.database import Database
from tempogram.storage.services.uses import SqlCallUses

CALL_S = 600.0
"""A call may wait in line for its window; the service's own limits in time hold besides."""


def declared(changes: Mapping[str, Any]) -> dict[str, Service]:
    """Return the shipped services with what a run changes of them, or declares beside them."""
    services = shipped()
    return services | {name: service_of(name, table, services.get(name)) for name, table in changes.items()}


@asynccontextmanager
async def services_of(
    changes: Mapping[str, Any], *, process: str, redis_url: str, database_url: str
) -> AsyncIterator[Services]:
    """Open services as the engine does: limits in Redis, or in this process; long windows in a database."""
    async with AsyncExitStack() as stack:
        clock, uses = SystemClock(), None
        if database_url:
            database = await Database.open(database_url)
            stack.push_async_callback(database.close)
            uses = SqlCallUses(database)
        if not redis_url:
            alone = MemoryCallLimiter(clock=clock, uses=uses)
            stack.push_async_callback(alone.close)
            yield Services(declared(changes), alone, clock=clock)
            return
        redis = connect(redis_url)
        stack.push_async_callback(redis.aclose)
        shared = RedisCallLimiter(redis, process, uses=uses)
        stack.push_async_callback(shared.close)
        services = Services(declared(changes), shared, clock=clock)
        shared.on_failing = services.believe_failing
        yield services


async def call_for_ever(
    client: httpx.AsyncClient, path: str, headers: Mapping[str, str], tokens: int, chance: random.Random
) -> None:
    while True:
        estimate = round(tokens * chance.uniform(0.5, 1.5)) if tokens else 0
        try:
            await client.get(path, headers={**headers, "x-tokens": str(estimate)}, extensions={"cost": estimate})
        except (httpx.HTTPError, ServiceError) as error:
            print(f"  {path}: {type(error).__name__} {error}", file=sys.stderr)
            await asyncio.sleep(0.05)


def options_of(request: httpx.Request) -> CallOptions:
    """Return what a request probably costs, and how its answer says what it did."""
    cost = request.extensions.get("cost") or 1
    return CallOptions(cost=cost, used=used_tokens, deadline_s=CALL_S)


def used_tokens(answer: ReadAnswer) -> int | None:
    usage = answer.json().get("usage")
    return None if usage is None else int(usage["total_tokens"])


async def run(order: Mapping[str, Any]) -> None:
    process = order["process"]
    chance = random.Random(process)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(
            services_of(
                order.get("services", {}),
                process=process,
                redis_url=order.get("redis", ""),
                database_url=order.get("database", ""),
            )
        )
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200, keepalive_expiry=600)
        network = httpx.AsyncHTTPTransport(limits=limits)
        async with asyncio.TaskGroup() as group:
            for service, operation, callers in order["load"]:
                transport = ServiceTransport(services, service, operation, options=options_of, transport=network)
                client = httpx.AsyncClient(transport=transport, base_url=order["server"], timeout=CALL_S)
                headers = {"x-client": process}
                for _ in range(callers):
                    path = f"/{service}/{operation}"
                    group.create_task(call_for_ever(client, path, headers, order.get("tokens", 0), chance))


if __name__ == "__main__":
    uvloop.run(run(json.loads(sys.argv[1])))
