"""Alerts of several processes: each is said once, whichever of them sees it or looks for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tempogram.bot.demo.process import free_port
from tempogram.simulator.client import running_simulator
from tests.bot.alerts.receivers import WebhookReceiver
from tests.end_to_end.program import Program, started
from tests.engine.redis_server import own_redis
from tests.storage.servers import own_postgres

pytestmark = pytest.mark.postgres


@pytest.fixture
def url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


async def test_redis_away_is_said_once_and_its_end_though_the_process_that_said_it_was_killed(
    tmp_path: Path, url: str
) -> None:
    receiver, port = WebhookReceiver(), free_port()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(receiver.running())
        telegram = await stack.enter_async_context(running_simulator())
        with own_redis(tmp_path, port=port) as redis_url:
            programs = [
                Program(
                    folder(tmp_path, name),
                    role=name.rstrip("12"),
                    TELEGRAM_API_URL=telegram.url,
                    DATABASE_URL=url,
                    REDIS_URL=redis_url,
                    ALERT_WEBHOOK_URL=receiver.url,
                    ALERT_CHECK_S="1",
                )
                for name in ("scheduler1", "scheduler2", "worker")
            ]
            for each in programs:
                await stack.enter_async_context(started(each))
            await asyncio.sleep(3)
        first, second, _ = programs

        async def is_said(number: int) -> bool:
            return len(receiver.accepted) >= number

        await first.until(lambda: is_said(1), within_s=60)
        await asyncio.sleep(3)
        said = kinds(receiver)
        speaker = first if "alert_delivered" in first.output.read_text() else second
        await speaker.kill()
        with own_redis(tmp_path, port=port):
            await first.until(lambda: is_said(2), within_s=90)
            await asyncio.sleep(3)

    assert said == [("alert.opened", "redis_away")]
    assert kinds(receiver) == [("alert.opened", "redis_away"), ("alert.ended", "redis_away")]


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def kinds(receiver: WebhookReceiver) -> list[tuple[str, str]]:
    return [(body["type"], body["data"]["kind"]) for _, body in receiver.accepted]
