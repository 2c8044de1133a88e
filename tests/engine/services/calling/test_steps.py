from __future__ import annotations

import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tempogram.bot.config.logging import LogFormat, configure
from tempogram.engine.services.catalogue import parse, service_of
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import CallOptions, Services
from tests.fakes import Clock

DECLARED = "[pay]\nretries = 1\ndelay_s = 0\noperations = {charge = {idempotent = true}, refund = {}}"
CANARY = "canary-4711"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a process with LOG_LEVEL=WARNING logs."""
    output = io.StringIO()
    before = structlog.get_config()
    configure("WARNING", LogFormat.JSON, stream=output)
    yield output
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
        ("service_call_began", "debug"),
        ("service_attempt_began", "debug"),
        ("service_attempt_ended", "debug"),
        ("service_attempt_follows", "debug"),
        ("service_attempt_began", "debug"),
        ("service_attempt_ended", "debug"),
        ("service_call_ended", "debug"),
    ]
    assert {each["call"] for each in events(lines)} == {1}
    assert events(lines)[2] | {"timestamp": ""} == {
        "event": "service_attempt_ended",
        "level": "debug",
        "operation": "pay:charge",
        "call": 1,
        "verdict": "failed",
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
