from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.errors import CallOverdue
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import CallOptions, Services
from tests.fakes import Clock

DECLARED = """
[films]
retries = 0
operations = {availability = {cache = {ttl_s = 60, stale_if_error_s = 600}}, plain = {}}
"""
KEPT = CacheOptions(ttl_s=60)

asked: list[Any] = []
error: list[Exception] = []


async def availability(title: Any, *, country: str = "de") -> dict[str, Any]:
    asked.append((title, country))
    await asyncio.sleep(0)
    if error:
        raise error[0]
    return {"title": title, "number": len(asked)}


class Catalogue:
    """A client, of which two may ask for different accounts."""

    async def availability(self, title: str) -> dict[str, Any]:
        return await availability(title)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(clock: Clock) -> Iterator[Services]:
    asked.clear()
    error.clear()
    yield Services(parse(DECLARED, "services.toml"), MemoryCallLimiter(clock=clock, after_start=False), clock=clock)
    error.clear()


async def test_the_same_call_of_a_declared_operation_is_made_once(services: Services) -> None:
    answers = [await services.call("films", "availability", availability, "Metropolis") for _ in range(3)]

    assert [each["number"] for each in answers] == [1, 1, 1]


async def test_other_arguments_are_another_call(services: Services) -> None:
    for title, country in (("1", "de"), (1, "de"), (True, "de"), ("1", "at"), (b"1", "de")):
        await services.call("films", "availability", availability, title, country=country)

    assert len(asked) == 5


async def test_one_tenant_never_gets_the_answer_of_another(services: Services) -> None:
    for tenant in ("acme", "beta", None, "acme"):
        await services.call_with(CallOptions(tenant=tenant), "films", "availability", availability, "M")
        await services.call_with(CallOptions(tenant=tenant, cache_key="M"), "films", "availability", availability, "M")
    named = CallOptions(cache_key="@'acme' M")
    await services.call_with(named, "films", "availability", availability, "M")

    assert len(asked) == 7


@pytest.mark.parametrize("kind", ["method", "lambda", "no value"])
async def test_a_call_that_does_not_say_what_it_asks_for_is_made_each_time(services: Services, kind: str) -> None:
    clients = [Catalogue(), Catalogue()]

    with capture_logs() as logs:
        for client in clients * 2:
            match kind:
                case "method":
                    await services.call("films", "availability", client.availability, "M")
                case "lambda":
                    await services.call("films", "availability", lambda: client.availability("M"))  # noqa: B023
                case _:
                    await services.call("films", "availability", availability, client)

    assert len(asked) == 4
    assert [log["event"] for log in logs] == ["call_not_cached"]


async def test_a_key_of_its_own_says_what_a_method_asks_for(services: Services) -> None:
    for client in (Catalogue(), Catalogue()):
        await services.call_with(CallOptions(cache_key="M"), "films", "availability", client.availability, "M")

    assert len(asked) == 1


async def test_a_call_that_asks_to_be_kept_must_say_what_it_asks_for(services: Services) -> None:
    with pytest.raises(SettingsError, match="a call of films:plain cannot be kept without cache_key"):
        await services.call_with(CallOptions(cache=KEPT), "films", "plain", Catalogue().availability, "M")


async def test_an_operation_without_a_cache_is_called_each_time(services: Services) -> None:
    for _ in range(3):
        await services.call_with(CallOptions(cache_key="M"), "films", "plain", availability, "M")

    assert len(asked) == 3


async def test_a_hit_passes_no_limit_and_no_breaker(services: Services) -> None:
    await services.call("films", "availability", availability, "M")
    services.hold("films", for_ms=60_000, by="a test")

    async with asyncio.timeout(1):
        assert (await services.call("films", "availability", availability, "M"))["number"] == 1


async def test_a_stale_answer_is_returned_while_the_service_fails(services: Services, clock: Clock) -> None:
    await services.call("films", "availability", availability, "M")
    clock.advance(120_000)
    error.append(OSError("closed"))

    assert (await services.call("films", "availability", availability, "M"))["number"] == 1
    assert len(asked) == 2


async def test_a_service_is_forgotten_as_a_whole(services: Services) -> None:
    await services.call("films", "availability", availability, "M")

    await services.forget(service="films")

    assert (await services.call("films", "availability", availability, "M"))["number"] == 2


async def test_a_caller_waits_no_longer_than_its_own_deadline(services: Services) -> None:
    going = asyncio.Event()

    async def slow() -> int:
        await going.wait()
        return 1

    options = CallOptions(cache_key="slow", deadline_s=30)
    first = asyncio.create_task(services.call_with(options, "films", "availability", slow))
    await asyncio.sleep(0)
    with pytest.raises(CallOverdue, match=r"films:availability had no answer within 0\.02 s"):
        await services.call_with(CallOptions(cache_key="slow", deadline_s=0.02), "films", "availability", slow)
    going.set()

    assert await first == 1


async def test_a_decorated_function_is_kept_by_its_arguments(services: Services) -> None:
    limited = services.limited("films", "availability")(availability)

    assert [(await limited(title))["number"] for title in ("M", "M", "N")] == [1, 1, 2]


async def test_what_is_kept_under_a_key_is_computed_once(services: Services) -> None:
    async def customer() -> dict[str, Any]:
        return await availability("anna")

    answers = await asyncio.gather(*(services.get_or_set("customer:7", customer, 300) for _ in range(10)))
    await services.forget("customer:7")

    assert [each["number"] for each in answers] == [1] * 10
    assert (await services.get_or_set("customer:7", customer, 300))["number"] == 2


@pytest.mark.parametrize("key", ["", "x" * 1_001, 7, None])
async def test_a_key_that_is_none_is_refused(services: Services, key: Any) -> None:
    with pytest.raises(SettingsError, match="the key of an answer is"):
        await services.get_or_set(key, Catalogue().availability, 300)  # type: ignore[arg-type]
