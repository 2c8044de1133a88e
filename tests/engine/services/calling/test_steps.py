from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tempogram.bot.config.logging import LogFormat, configure, through_standard_logger
from tempogram.engine.services.catalogue import parse, service_of
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.services import CallOptions, Services
from tests.engine.redis_server import connected
from tests.fakes import Clock

DECLARED = """
[pay]
retries = 1
delay_s = 0
tenant = {concurrency = 1}
operations = {charge = {idempotent = true}, refund = {concurrency = 1}}
"""
CANARY = "canary-4711"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a process with LOG_LEVEL=WARNING logs."""
    output = io.StringIO()
    before = structlog.get_config()
    configure("WARNING", LogFormat.JSON, stream=output)
    yield output
    structlog.configure(**before)


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Give structlog as a program finds it that does not use it."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


def events(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


@pytest.fixture
def services() -> Services:
    clock = Clock()
    return Services(parse(DECLARED, "services.toml"), MemoryCallLimiter(clock=clock, after_start=False), clock=clock)


def watch(services: Services, level: str) -> None:
    service = services.service("pay")
    newer = service_of("pay", {"log_level": level, "retries": 1}, service)
    object.__setattr__(newer, "version", service.version + 1)
    services.replace(newer)


async def failing(text: str, *, url: str) -> Any:
    raise ConnectionRefusedError(f"{text} {url}")


class RefusedError(Exception):
    """What a client raises of an answer that it has."""

    response = SimpleNamespace(status_code=404)


async def refused() -> Any:
    raise RefusedError


async def turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what Redis answers, which takes real time."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing says it
            await asyncio.sleep(0.01)


async def throttled(text: str) -> Any:
    said = {"Retry-After": "1", "X-Text": text, "RateLimit-Remaining": "0", "RateLimit-Reset": "1"}
    return SimpleNamespace(status_code=429, headers=said, body=text)


async def test_each_step_of_a_call_is_an_event_whatever_the_level_of_the_log(
    services: Services, lines: io.StringIO
) -> None:
    watch(services, "debug")

    with pytest.raises(ConnectionRefusedError):
        await services.call("pay", "charge", failing, "4711", url="http://pay")

    assert [(each["event"], each["level"]) for each in events(lines)] == [
        ("service_call_began", "info"),
        ("service_attempt_began", "info"),
        ("service_attempt_ended", "info"),
        ("service_attempt_follows", "info"),
        ("service_attempt_began", "info"),
        ("service_attempt_ended", "info"),
        ("service_call_ended", "info"),
    ]
    assert {each["call"] for each in events(lines)} == {1}
    assert events(lines)[2] | {"timestamp": ""} == {
        "event": "service_attempt_ended",
        "level": "info",
        "operation": "pay:charge",
        "call": 1,
        "verdict": "failed",
        "status": None,
        "error": "ConnectionRefusedError",
        "took_ms": 0,
        "hold_until_ms": None,
        "left": {},
        "timestamp": "",
    }


async def test_what_a_service_says_of_its_limits_is_in_the_log(services: Services, lines: io.StringIO) -> None:
    watch(services, "debug")

    await services.call_with(CallOptions(retries=0), "pay", "charge", throttled, "text")

    held = [each for each in events(lines) if each["event"] == "service_held"]
    assert held
    assert {(each["limiter"], each["by"]) for each in held} == {("pay:charge", "said by the service")}
    assert events(lines)[-1]["outcome"] == "throttled"
    assert [each["status"] for each in events(lines) if each["event"] == "service_attempt_ended"] == [429]


async def test_the_status_of_an_error_of_a_client_is_in_the_log(services: Services, lines: io.StringIO) -> None:
    watch(services, "debug")

    with pytest.raises(RefusedError):
        await services.call("pay", "refund", refused)

    assert [each["status"] for each in events(lines) if each["event"] == "service_attempt_ended"] == [404]


async def test_a_call_that_has_to_wait_says_for_which_limiter(services: Services, lines: io.StringIO) -> None:
    watch(services, "debug")
    ends = asyncio.Event()

    both = [asyncio.create_task(services.call("pay", "refund", ends.wait)) for _ in range(2)]
    await turns()
    waiting = [(each["call"], each["waits_for"]) for each in events(lines) if each["event"] == "service_attempt_waits"]
    ends.set()
    await asyncio.gather(*both)

    assert waiting == [(2, "pay:refund")]


async def test_a_tenant_for_which_a_call_waits_is_not_named(services: Services, lines: io.StringIO) -> None:
    watch(services, "debug")
    ends, options = asyncio.Event(), CallOptions(tenant=f"{CANARY}@example.com")

    both = [asyncio.create_task(services.call_with(options, "pay", "charge", ends.wait)) for _ in range(2)]
    await turns()
    ends.set()
    await asyncio.gather(*both)

    assert [each["waits_for"] for each in events(lines) if each["event"] == "service_attempt_waits"] == ["pay@…"]
    assert CANARY not in lines.getvalue()


async def test_over_redis_a_call_that_has_to_wait_says_for_which_limiter(empty_redis: str, lines: io.StringIO) -> None:
    async with connected(empty_redis) as redis:
        limiter = RedisCallLimiter(redis, "p1")
        services = Services(parse(DECLARED, "services.toml"), limiter, clock=Clock())
        watch(services, "debug")
        ends = asyncio.Event()

        both = [asyncio.create_task(services.call("pay", "refund", ends.wait)) for _ in range(2)]
        await until(lambda: "service_attempt_waits" in lines.getvalue())
        ends.set()
        await asyncio.gather(*both)
        await limiter.close()

    waiting = [each for each in events(lines) if each["event"] == "service_attempt_waits"]  # the first one may, too
    assert {(each["waits_for"], each["call_id"][:3]) for each in waiting} == {("pay:refund", "p1-")}


async def test_in_a_program_whose_own_logging_shows_info_each_step_is_a_line(
    services: Services, unconfigured: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch(services, "debug")

    with through_standard_logger():
        await services.call("pay", "charge", asyncio.sleep, 0)

    assert [line.partition(" ")[0] for line in caplog.messages] == [
        "service_call_began",
        "service_attempt_began",
        "service_attempt_ended",
        "service_call_ended",
    ]


async def test_no_argument_address_text_or_header_is_in_the_log(services: Services, lines: io.StringIO) -> None:
    watch(services, "debug")

    options = CallOptions(tenant=CANARY, retries=0)
    with pytest.raises(ConnectionRefusedError):
        await services.call_with(options, "pay", "charge", failing, CANARY, url=f"http://{CANARY}")
    await services.call_with(options, "pay", "refund", throttled, CANARY)

    assert events(lines)
    assert CANARY not in lines.getvalue()


@pytest.mark.parametrize("level", ["never", "info"])
async def test_a_service_that_is_not_watched_logs_no_step(services: Services, lines: io.StringIO, level: str) -> None:
    if level == "info":
        watch(services, "debug")
        watch(services, "info")

    await services.call_with(CallOptions(retries=0), "pay", "charge", throttled, "text")

    assert lines.getvalue() == ""
