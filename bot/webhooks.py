"""Tells Telegram where to deliver updates, each bot's with a secret of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import structlog
from aiogram.exceptions import ClientDecodeError, TelegramAPIError

from bot.fleet import Fleet
from engine.errors import LedgerError
from engine.insist import Sleep

log = structlog.get_logger()

CONNECTIONS_MAX = 40
"""Deliveries at once for each bot. Telegram's own default: https://core.telegram.org/bots/api#setwebhook"""


PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0
"""Telegram takes one setWebhook a second from each bot, and answers 429 to a second one."""


class Webhooks:
    """Sets webhooks."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        public_url: str,
        allowed_updates: Sequence[str] = (),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._fleet = fleet
        self._sleep = sleep
        self._public_url = public_url
        self._allowed_updates = list(allowed_updates)

    async def set(self, bot_id: int) -> None:
        """Set one bot's, and try again until Telegram takes it: without it the bot hears nothing."""
        pause_s = PAUSE_S_MIN
        while not await self._set_once(bot_id):
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _set_once(self, bot_id: int) -> bool:
        try:
            await self._tell_telegram(bot_id)
        except (TelegramAPIError, ClientDecodeError, LedgerError) as error:
            log.warning("webhook not set", bot_id=bot_id, reason=type(error).__name__)
            return False
        return True

    async def _tell_telegram(self, bot_id: int) -> None:
        secret = self._fleet.webhook_secret(bot_id)
        if secret is None:
            secret = secrets.token_urlsafe(32)
            await self._fleet.set_webhook_secret(bot_id, secret)
        bot = self._fleet.bot(bot_id)
        url = f"{self._public_url}/webhook/telegram/{bot.token}"
        await bot.set_webhook(
            url, secret_token=secret, max_connections=CONNECTIONS_MAX, allowed_updates=self._allowed_updates
        )
