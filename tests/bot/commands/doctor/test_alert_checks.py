from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tempogram.bot.commands.doctor import alert_checks
from tempogram.bot.config.settings import load
from tempogram.simulator.client import running_simulator
from tests.bot.alerts.receivers import MailReceiver, WebhookReceiver

TOKEN = "42:token-of-the-test-bot"


@pytest.fixture(autouse=True)
def _here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)


def mail(port: int) -> dict[str, Any]:
    return {
        "alert_smtp_url": f"smtp://me:right@127.0.0.1:{port}",
        "alert_mail_from": "bots@example.org",
        "alert_mail_to": ("me@example.org",),
    }


async def test_channels_that_work_have_no_fault_and_get_nothing() -> None:
    slack, webhook, email = WebhookReceiver(), WebhookReceiver(), MailReceiver(login=("me", "right"))
    async with running_simulator() as telegram, slack.running(), webhook.running(), email.running():
        await telegram.add_bots(TOKEN)
        user = await telegram.add_user("Olga")
        settings = load(
            telegram_api_url=telegram.url,
            alert_slack_url=slack.url,
            alert_webhook_url=webhook.url,
            alert_bot=42,
            alert_chat=str(user),
            **mail(email.port),
        )
        checked = await alert_checks.check(settings, {42: TOKEN})

    assert checked == [("slack", ""), ("webhook", ""), ("chat", ""), ("email", "")]
    assert (slack.tried, webhook.tried, email.tried, email.logins) == (0, 0, 0, [("me", "right")])


async def test_each_channel_that_cannot_be_used_has_a_fault_without_a_secret() -> None:
    email = MailReceiver(login=("me", "wrong"))
    async with running_simulator() as telegram, email.running():
        settings = load(
            telegram_api_url=telegram.url,
            alert_slack_url="http://127.0.0.1:1/hunter2",
            alert_webhook_url="https://hunter2@127.0.0.1:1",
            alert_bot=43,
            alert_chat="@nowhere",
            **mail(email.port),
        )
        checked = dict(await alert_checks.check(settings, {42: TOKEN}))

    assert checked == {
        "slack": "127.0.0.1 cannot be reached (ConnectionRefusedError)",
        "webhook": "127.0.0.1 cannot be reached (ConnectionRefusedError)",
        "chat": "there is no bot 43",
        "email": "the mail server 127.0.0.1 cannot be used (SMTPAuthenticationError)",
    }


async def test_a_chat_that_the_bot_does_not_see_is_a_fault() -> None:
    async with running_simulator(accept_any_token=False) as telegram:
        settings = load(telegram_api_url=telegram.url, alert_bot=42, alert_chat="-100777")
        ((channel, fault),) = await alert_checks.check(settings, {42: "42:wrong-token-of-a-bot"})

    assert channel == "chat"
    assert fault.startswith("bot 42 does not see ALERT_CHAT: Telegram answers getChat with 4")


async def test_without_channels_there_is_nothing_to_check() -> None:
    assert await asyncio.wait_for(alert_checks.check(load(), {}), 1) == []
