"""What is done about webhooks that are lost, and about deliveries that fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiogram import Bot
from aiogram.types import WebhookInfo
from structlog.testing import capture_logs

from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.updates.webhook_checkup import WebhookCheckup
from tempogram.simulator import Fault
from tempogram.storage.bots import Source
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import HERE, OTHER, World

URL = f"{HERE}/webhook/telegram/{TOKEN}"


@pytest.fixture
async def checkup(world: World, fleet: Fleet) -> WebhookCheckup:
    webhooks = world.webhooks(fleet)
    await webhooks.set(BOT_ID)
    return WebhookCheckup(registry=fleet.registry, webhooks=webhooks, clock=world.clock)


async def test_a_webhook_that_stands_is_asked_for_and_left_alone(world: World, checkup: WebhookCheckup) -> None:
    asked = world.calls("getWebhookInfo")

    await checkup.run()

    assert (world.calls("setWebhook"), world.calls("getWebhookInfo") - asked) == (1, 1)


@pytest.mark.parametrize("url", ["", "https://other.example.org/hook"])
async def test_a_webhook_that_is_deleted_or_another_is_set_again(
    world: World, fleet: Fleet, checkup: WebhookCheckup, url: str
) -> None:
    await fleet.registry.bot(BOT_ID).set_webhook(url)

    with capture_logs() as logs:
        await checkup.run()

    hook = world.hook(BOT_ID)
    assert hook is not None
    assert (hook.url, hook.secret_token) == (URL, fleet.secrets.of(BOT_ID).secret)
    assert [(each["event"], each["has_another"]) for each in logs if each["event"] == "webhook_lost"] == [
        ("webhook_lost", bool(url))
    ]


async def test_a_bot_without_a_webhook_is_not_asked_for(world: World, fleet: Fleet, checkup: WebhookCheckup) -> None:
    await fleet.change(BOT_ID, updates=Source.POLLING)
    asked = world.calls("getWebhookInfo")

    await checkup.run()

    assert world.calls("getWebhookInfo") == asked


async def test_a_bot_of_which_telegram_does_not_answer_keeps_no_other_from_its_webhook(
    world: World, fleet: Fleet, checkup: WebhookCheckup
) -> None:
    world.simulator.add_bot(OTHER, "other_bot")
    await fleet.add(OTHER, None)
    world.simulator.order(Fault(kind="5xx", method="getWebhookInfo", bot_id=BOT_ID, times=1))

    await checkup.run()

    hook = world.hook(43)
    assert hook is not None
    assert hook.url == f"{HERE}/webhook/telegram/{OTHER}"


@pytest.mark.parametrize(("minutes", "reports"), [(5, 1), (65, 0)])
async def test_a_delivery_that_failed_within_the_hour_is_reported_without_the_token(
    world: World, checkup: WebhookCheckup, monkeypatch: pytest.MonkeyPatch, minutes: int, reports: int
) -> None:
    failed_at = datetime.fromtimestamp(world.clock() / 1_000, UTC) - timedelta(minutes=minutes)

    async def answer(*_: Any, **__: Any) -> WebhookInfo:
        return WebhookInfo(
            url=URL,
            has_custom_certificate=False,
            pending_update_count=7,
            last_error_date=failed_at,
            last_error_message=f"Wrong response from the webhook: 502 at {TOKEN}",
        )

    monkeypatch.setattr(Bot, "get_webhook_info", answer)
    with capture_logs() as logs:
        await checkup.run()

    found = [(each["reason"], each["waiting"]) for each in logs if each["event"] == "webhook_deliveries_fail"]
    assert found == [("Wrong response from the webhook: 502 at …", 7)] * reports
