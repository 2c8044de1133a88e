"""Alerts by each channel, from the real program to real receivers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.end_to_end.alerting import CHANNELS, Alerting, alerting
from tests.storage.servers import SERVER_URL, own_postgres, run

pytestmark = pytest.mark.postgres


@pytest.fixture
def url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


async def test_each_channel_names_a_stalled_task_once_and_its_end_also_if_it_refuses_at_first(
    tmp_path: Path, url: str
) -> None:
    async with alerting(tmp_path, url) as world:
        world.slack.answers = [500]
        world.webhook.answers = [429]
        world.email.answers = ["451 try later"]
        await world.stall("poll")
        await world.until_said("Task stalled\ntask poll is stalled")
        await world.mend("poll")
        await world.until_said("Task stalled\n", "Over: Task stalled\ntask poll is stalled")
        ids = [message_id for message_id, _ in world.webhook.accepted]
        _, shown = await world.program.call("GET", "/alerts")

    assert len(set(ids)) == 2
    assert (world.slack.tried, world.webhook.tried, world.email.tried) == (3, 3, 3)
    assert shown == {"alerts": []}


async def test_a_kill_between_writing_and_sending_loses_no_notice_and_repeats_none(tmp_path: Path, url: str) -> None:
    async with alerting(tmp_path, url) as world:
        await world.stall("poll")
        await world.until_said("Task stalled\n")
        away(world)
        await world.stall("sweep")
        await world.program.until(lambda: tries(world, 3), within_s=30)
        await world.program.kill()
        back(world)
        await world.program.start()
        await world.until_said("Task stalled\ntask poll", "Task stalled\ntask sweep", within_s=90)


async def test_in_quiet_hours_nothing_is_said_that_is_not_urgent_and_after_them_all(tmp_path: Path, url: str) -> None:
    now = datetime.now(UTC)
    quiet = f"{now - timedelta(minutes=5):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    async with alerting(tmp_path, url, ALERT_QUIET_HOURS=quiet) as world:
        await world.stall("poll")
        await world.program.until(lambda: is_open(world), within_s=30)
        await asyncio.sleep(3)
        meanwhile = await world.texts()
        await world.program.end()
        world.program.set(ALERT_QUIET_HOURS="")
        await world.program.start()
        await world.until_said("Task stalled\ntask poll")

    assert meanwhile == {channel: [] for channel in CHANNELS}


async def test_that_the_database_is_away_is_said_without_it_and_its_end_is_said_too(tmp_path: Path, url: str) -> None:
    name = make_url(url).database
    async with alerting(tmp_path, url, ALERT_AFTER="2") as world:
        await run(SERVER_URL, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await run(SERVER_URL, DISCONNECT.format(name=name))
        await world.program.until(lambda: is_said_by_webhook(world), within_s=60)
        without = await world.texts()
        await run(SERVER_URL, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await world.until_said("Database away\n", "Over: Database away\n", within_s=90)

    assert (len(without["webhook"]), without["chat"]) == (1, [])


DISCONNECT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"


async def is_said_by_webhook(world: Alerting) -> bool:
    return len(world.webhook.accepted) + len(world.email.accepted) + len(world.slack.accepted) == 3


def away(world: Alerting) -> None:
    world.slack.answers = [503] * 99
    world.webhook.answers = [503] * 99
    world.email.answers = ["451 try later"] * 99


def back(world: Alerting) -> None:
    world.slack.answers, world.webhook.answers, world.email.answers = [], [], []


async def tries(world: Alerting, channels: int) -> bool:
    """Tell whether so many channels have been tried and have refused the newest notice."""
    failed = "SELECT count(*) FROM alert_notices WHERE ended_at_ms = 0 AND error <> ''"
    return bool((await world.read(failed))[0][0] >= channels)


async def is_open(world: Alerting) -> bool:
    return bool((await world.read("SELECT count(*) FROM alerts"))[0][0])
