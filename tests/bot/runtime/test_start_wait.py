"""A start while the database is away: it waits, says so, answers 503, and begins from the beginning."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from structlog.testing import capture_logs

from tempogram.bot.runtime.http_server import address_of, listening
from tempogram.bot.runtime.start_wait import PAUSE_S_MAX, SAID_EVERY_S, ended_by_sigterm, refusing, started
from tempogram.engine.model.errors import LedgerAway, LedgerError, SettingsError

DATABASE = "PostgreSQL at db:5432, database fleet"


class Start:
    """A start that fails so many times; ``journal`` tells what was entered and left."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or LedgerAway("the database cannot be reached: Connection refused")
        self.journal: list[str] = []
        self.now_s = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            await started(
                stack,
                self._enter,
                database=DATABASE,
                meanwhile=lambda: self._part("503s"),
                sleep=self.sleep,
                seconds=lambda: self.now_s,
            )
            self.journal.append("runs")

    async def _enter(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._part("lock"))
        if self.failures:
            self.failures -= 1
            raise self.error

    @asynccontextmanager
    async def _part(self, name: str) -> AsyncIterator[None]:
        self.journal.append(f"+{name}")
        try:
            yield
        finally:
            self.journal.append(f"-{name}")


async def test_a_start_with_its_database_says_nothing() -> None:
    start = Start()

    with capture_logs() as said:
        await start.run()

    assert start.journal == ["+lock", "runs", "-lock"]
    assert (said, start.slept) == ([], [])


async def test_each_try_begins_from_the_beginning_and_503s_are_answered_meanwhile() -> None:
    start = Start(failures=2)

    await start.run()

    assert start.journal == ["+lock", "-lock", "+503s", "+lock", "-lock", "+lock", "-503s", "runs", "-lock"]


async def test_a_wait_is_said_when_it_begins_each_minute_and_when_it_is_over() -> None:
    start = Start(failures=60)

    with capture_logs() as said:
        await start.run()

    events = [each["event"] for each in said]
    assert events == ["start_waits"] * (events.count("start_waits")) + ["start_continued"]
    assert 2 <= events.count("start_waits") <= 2 + start.now_s / SAID_EVERY_S
    assert said[0]["database"] == DATABASE
    assert said[-1]["after_ms"] == round(start.now_s * 1_000)
    assert max(start.slept) <= PAUSE_S_MAX


@pytest.mark.parametrize(
    "error",
    [
        SettingsError("another tempogram uses the database"),
        LedgerError("the database refused: password authentication failed"),
    ],
)
async def test_what_must_be_corrected_ends_the_start(error: Exception) -> None:
    start = Start(failures=1, error=error)

    with pytest.raises(type(error)):
        await start.run()

    assert start.journal == ["+lock", "-lock"]


async def test_a_process_that_waits_answers_503_and_leaves_its_port_open() -> None:
    with listening("127.0.0.1", 0) as listener:
        async with aiohttp.ClientSession() as client:
            for _ in range(2):
                async with refusing(listener), client.post(address_of(listener) + "/webhook", data=b"{}") as answer:
                    said = answer.status, answer.headers["Retry-After"], await answer.json()
                assert said == (503, "5", {"status": "starting"})


async def test_a_start_that_gets_sigterm_ends_quietly() -> None:
    with ended_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    await asyncio.sleep(0)  # the task is not cancelled any more


async def test_a_start_that_is_cancelled_otherwise_is_cancelled() -> None:
    async def start() -> None:
        with ended_by_sigterm():
            await asyncio.Event().wait()

    starting = asyncio.create_task(start())
    await asyncio.sleep(0)
    starting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await starting
