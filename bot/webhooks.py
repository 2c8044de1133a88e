"""Tells Telegram where to deliver updates, each bot's with a secret of its own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import structlog
from aiogram.exceptions import ClientDecodeError, TelegramAPIError

from bot.fleet import Fleet

log = structlog.get_logger()

CONNECTIONS_MAX = 40
"""Deliveries at once for each bot. Telegram's own default: https://core.telegram.org/bots/api#setwebhook"""


class Webhooks:
    """Sets webhooks."""

    def __init__(self, *, fleet: Fleet, public_url: str, allowed_updates: Sequence[str] = ()) -> None:
        self._fleet = fleet
        self._public_url = public_url
        self._allowed_updates = list(allowed_updates)

    async def set(self, bot_id: int) -> None:
        """Set one bot's. A refusal is logged: the bot can still send, and the next start tries again."""
        secret = self._fleet.webhook_secret(bot_id)
        if secret is None:
            secret = secrets.token_urlsafe(32)
            await self._fleet.set_webhook_secret(bot_id, secret)
        bot = self._fleet.bot(bot_id)
        url = f"{self._public_url}/webhook/telegram/{bot.token}"
        try:
            await bot.set_webhook(
                url, secret_token=secret, max_connections=CONNECTIONS_MAX, allowed_updates=self._allowed_updates
            )
        except (TelegramAPIError, ClientDecodeError) as error:
            log.warning("webhook not set", bot_id=bot_id, reason=type(error).__name__)
