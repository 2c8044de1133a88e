"""Checks the channels of alerts, as far as that is possible without sending anything."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import quote, urlsplit

import aiohttp

from tempogram.bot.alerts import smtp
from tempogram.bot.config.settings import Settings
from tempogram.bot.proxy.sessions import session_through

TIMEOUT_S = 10

Checked = tuple[str, str]
"""The channel, and what is wrong with it; empty: it can be used, as far as is known."""


async def check(settings: Settings, tokens: dict[int, str]) -> list[Checked]:
    """Check each channel of the settings.

    Args:
        settings: Those of a start.
        tokens: Of the bots, by their ids.
    """
    checks = []
    if settings.alert_slack_url:
        checks.append(("slack", _connects(settings.alert_slack_url)))
    if settings.alert_webhook_url:
        checks.append(("webhook", _connects(settings.alert_webhook_url)))
    if settings.alert_bot is not None:
        checks.append(("chat", _sees_chat(settings, tokens.get(settings.alert_bot))))
    if url := settings.alert_smtp_url.get_secret_value():
        checks.append(("email", asyncio.to_thread(_logs_in, url)))
    faults = await asyncio.gather(*(fault for _, fault in checks))
    return [(name, fault) for (name, _), fault in zip(checks, faults, strict=True)]


async def _connects(url: str) -> str:
    """Return why no connection to the host of an address can be made."""
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if tls else 80), ssl=tls)
    except (OSError, TimeoutError) as error:
        return f"{parts.hostname} cannot be reached ({type(error).__name__})"
    writer.close()
    return ""


async def _sees_chat(settings: Settings, token: str | None) -> str:
    """Return why the bot of ALERT_BOT cannot write to ALERT_CHAT."""
    if token is None:
        return f"there is no bot {settings.alert_bot}"
    url = f"{settings.telegram_api_url}/bot{token}/getChat?chat_id={quote(settings.alert_chat)}"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            session_through(settings.proxy, limit=1, timeout=timeout) as session,
            session.get(url) as response,
        ):
            if response.status == 200:
                return ""
            return f"bot {settings.alert_bot} does not see ALERT_CHAT: Telegram answers getChat with {response.status}"
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return f"Telegram cannot be asked for ALERT_CHAT ({type(error).__name__})"


def _logs_in(url: str) -> str:
    """Return why the mail server takes no mail of ours."""
    server = smtp.parse(url)
    try:
        with smtp.connected(server):
            return ""
    except OSError as error:
        return f"the mail server {server.host} cannot be used ({type(error).__name__})"
