"""``tempogram.services``, in a program that runs."""

from __future__ import annotations

import asyncio
import threading

import aiohttp
import httpx
import pytest

import tempogram
from tempogram import CallOptions, ServiceTransport, UnknownService, service_middleware
from tests.bot.embedding.started import Engine
from tests.engine.services.clients.http_service import http_service


async def double(number: int) -> int:
    return 2 * number


async def test_a_program_calls_a_service_within_its_limits(engine: Engine) -> None:
    began_s = asyncio.get_running_loop().time()

    answers = [await tempogram.services.call("quickbase", "reports", double, number) for number in range(3)]

    assert answers == [0, 2, 4]
    assert asyncio.get_running_loop().time() - began_s >= 1, "two a second"


async def test_what_a_long_window_used_is_in_the_database(engine: Engine) -> None:
    await tempogram.services.call("x", "mentions", double, 1)

    uses = await engine.built.storage.call_uses.since("x:mentions", 0)
    assert [units for _, units in uses] == [1]


async def test_a_decorated_function_is_a_call_of_its_service(engine: Engine) -> None:
    @tempogram.services.limited("database", "queries", CallOptions(retries=0))
    async def look_up(number: int) -> int:
        return number

    assert await look_up(7) == 7


async def test_a_limit_is_changed_from_a_program_and_reset(engine: Engine) -> None:
    await tempogram.services.update_limits("twilio", {"operations": {"sms": {"count": 2}}})
    changed = engine.built.front.services.operation("twilio", "sms")
    await tempogram.services.reset_limits("twilio")

    assert (changed.limit.count, engine.built.front.services.operation("twilio", "sms").limit.count) == (2, 1)


async def test_a_limit_is_changed_from_another_thread(engine: Engine) -> None:
    def run() -> None:
        asyncio.run(tempogram.services.update_limits("twilio", {"retries": 1}))

    await asyncio.to_thread(run)

    assert engine.built.front.services.service("twilio").retries == 1


async def test_an_unknown_service_is_refused(engine: Engine) -> None:
    with pytest.raises(UnknownService, match="there is no service 'twillio'"):
        await tempogram.services.call("twillio", "sms", double, 1)


async def test_in_another_thread_the_function_runs_in_that_threads_loop(engine: Engine) -> None:
    async def here() -> str:
        return threading.current_thread().name

    def run() -> str:
        return asyncio.run(tempogram.services.call("database", "queries", here))

    name = await asyncio.to_thread(run)

    assert name != threading.current_thread().name


async def test_a_client_in_another_thread_gives_its_places_back(engine: Engine) -> None:
    """More requests than there are places, each after the other."""

    async def ask_often(url: str) -> list[int]:
        of_httpx = ServiceTransport(tempogram.services, "database", "queries")
        of_aiohttp = service_middleware(tempogram.services, "database", "queries")
        statuses = []
        async with httpx.AsyncClient(transport=of_httpx) as one, aiohttp.ClientSession(middlewares=[of_aiohttp]) as two:
            for _ in range(25):
                statuses.append((await one.get(url)).status_code)
                async with two.get(url) as response:
                    statuses.append(response.status)
        return statuses

    async with http_service() as service:
        statuses = await asyncio.to_thread(lambda: asyncio.run(ask_often(service.url)))

    assert statuses == [200] * 50


async def test_without_an_engine_a_call_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no engine of Tempogram runs in this program"):
        await tempogram.services.call("database", "queries", double, 1)
