"""Tells Telegram where to deliver updates, each bot's with a secret of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)

from tempogram.bot.fleet.registry import Registry
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

CONNECTIONS_MAX = 40
"""Deliveries at once for each bot. Telegram's own default: https://core.telegram.org/bots/api#setwebhook"""

PACE_MS = 1_010
"""Telegram takes one setWebhook a second from each bot, and answers 429 to a second one. Our clock rounds."""

PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0

GRACE_S = 60.0
"""How long a delivery with the old secret may be under way after Telegram took a new one. A guess."""

FAILURES = (TelegramAPIError, ClientDecodeError, LedgerError)
STRANGE = (TelegramUnauthorizedError, TelegramNotFound)
"""What Telegram says to a token that it does not know (any more)."""


class Webhooks:
    """Sets webhooks, and takes them away."""

    def __init__(
        self,
        *,
        registry: Registry,
        public_url: str,
        clock: Clock,
        allowed_updates: Sequence[str] = (),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._sleep = sleep
        self._public_url = public_url
        self._allowed_updates = list(allowed_updates)
        self._called_at_ms: dict[int, int] = {}

    async def set(self, bot_id: int) -> None:
        """Set one bot's, and try again until Telegram takes it: without it the bot hears nothing.

        One that stands as it is wanted is left alone, so that a restart is not a call for every bot.
        """
        if not await self._stands(bot_id):
            await self._insist(bot_id, lambda: self._tell(bot_id))

    async def retire_secret(self, bot_id: int) -> None:
        """Forget an old secret when nothing can come with it any more; ``set`` has told Telegram the new one."""
        if self._registry.secrets.of(bot_id).next_secret is None:
            return
        await self._sleep(GRACE_S)
        await self._insist(bot_id, lambda: self._registry.secrets.retire(bot_id))
        log.info("webhook secret changed", bot_id=bot_id)

    async def unset(self, bot_id: int) -> None:
        """Take away the webhook that we set, if we did; a bot's owner may have set one of his own."""
        if self._registry.secrets.of(bot_id).fingerprint is None:
            return
        bot = self._registry.bot(bot_id)

        async def tell() -> None:
            await bot.delete_webhook()
            await self._registry.secrets.note_registered(
                bot_id, None
            )  # later: after a crash in between it is deleted again

        await self._insist(bot_id, tell)

    async def delete(self, bot: Bot) -> None:
        """Take away the webhook of a bot that was removed, unless its token is no use any more."""

        async def tell() -> None:
            try:
                await bot.delete_webhook()
            except STRANGE:
                log.info("webhook left to a token that is revoked", bot_id=bot.id)

        await self._insist(bot.id, tell)

    async def _insist(self, bot_id: int, call: Callable[[], Awaitable[None]]) -> None:
        pause_s = PAUSE_S_MIN
        while (wait_s := await self._try(bot_id, call)) is not None:
            await self._sleep(max(wait_s, pause_s))
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _try(self, bot_id: int, call: Callable[[], Awaitable[None]]) -> float | None:
        """Make a call, a second after the bot's last one; None: it was taken, else how long Telegram wants to rest."""
        free_at_ms = self._called_at_ms.get(bot_id, 0) + PACE_MS
        if (early_ms := free_at_ms - self._clock()) > 0:
            await self._sleep(early_ms / 1_000)
        try:
            await call()
        except FAILURES as error:
            log.warning("webhook not changed", bot_id=bot_id, reason=type(error).__name__)
            return float(error.retry_after) if isinstance(error, TelegramRetryAfter) else 0.0
        finally:
            self._called_at_ms[bot_id] = self._clock()  # when it was answered: not earlier than Telegram counted it
        return None

    async def _tell(self, bot_id: int) -> None:
        secret, bot = await self._registry.secrets.to_register(bot_id), self._registry.bot(bot_id)
        await bot.set_webhook(
            self._url(bot),
            secret_token=secret,
            max_connections=CONNECTIONS_MAX,
            allowed_updates=self._allowed_updates,
        )
        await self._registry.secrets.note_registered(bot_id, self._fingerprint(bot, secret))

    async def _stands(self, bot_id: int) -> bool:
        """Tell whether Telegram was told all this before, and nobody has told it otherwise since."""
        kept, bot = self._registry.secrets.of(bot_id), self._registry.bot(bot_id)
        secret = kept.next_secret or kept.secret
        if secret is None or kept.fingerprint != self._fingerprint(bot, secret):
            return False
        try:
            return (await bot.get_webhook_info()).url == self._url(bot)
        except FAILURES:
            return False

    def _url(self, bot: Bot) -> str:
        return f"{self._public_url}/webhook/telegram/{bot.token}"

    def _fingerprint(self, bot: Bot, secret: str) -> str:
        """Return what tells one wish from another, and gives away neither token nor secret."""
        wish = msgspec.json.encode([self._url(bot), secret, CONNECTIONS_MAX, self._allowed_updates])
        return hashlib.sha256(wish).hexdigest()
