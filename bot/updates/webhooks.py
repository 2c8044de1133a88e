"""Registers webhooks with Telegram, each with a secret of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)

from tempogram.bot.fleet.registry import Registry
from tempogram.bot.proxy.errors import ProxyFailed
from tempogram.bot.telegram.responses import throttled_s
from tempogram.bot.updates.poller import PauseRevoked
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

CONNECTIONS_MAX = 40
"""Deliveries at once for each bot. Telegram's own default: https://core.telegram.org/bots/api#setwebhook"""

PACE_MS = 1_010
"""Telegram takes one setWebhook a second from each bot, and answers 429 to a second one. Our clock rounds."""

PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0

GRACE_S = 60.0
"""How long a delivery with the old secret may be under way after Telegram took a new one; untuned: longer is safe."""

FAILURES = (TelegramAPIError, ClientDecodeError, LedgerError)
UNANSWERED = (TelegramNetworkError, TelegramServerError, ClientDecodeError)
ORIGINAL = "Original description: "
"""Stands before Telegram's own words in some of aiogram's errors."""

TOO_MANY = "Too Many Requests"
TOKEN_UNKNOWN = (TelegramUnauthorizedError, TelegramNotFound)
"""Telegram's answers to a token that it does not know (any more)."""


class Webhooks:
    """Sets and deletes webhooks.

    Args:
        allowed_for: Returns the kinds of updates that Telegram is asked for, by bot.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        public_url: str,
        pause_revoked: PauseRevoked,
        health: SourceHealth,
        conditions: Conditions,
        clock: Clock,
        allowed_for: Callable[[int], list[str]] = lambda _: [],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._pause_revoked = pause_revoked
        self._health = health
        self._conditions = conditions
        self._clock = clock
        self._sleep = sleep
        self._public_url = public_url
        self._allowed_for = allowed_for
        self._called_at_ms: dict[int, int] = {}

    async def set(self, bot_id: int) -> bool:
        """Set a bot's webhook, and retry until Telegram takes it: without it the bot gets no updates.

        A webhook that is registered as wanted is left alone, so that a restart does not set every one again. False:
        the bot's token is revoked, and it is paused.
        """
        return await self._is_registered(bot_id) or await self._retry(bot_id, lambda: self._register(bot_id))

    async def retire_secret(self, bot_id: int) -> None:
        """Forget the old secret once no delivery can bear it any more; ``set`` has registered the new one."""
        if self._registry.secrets.of(bot_id).next_secret is None:
            return
        await self._sleep(GRACE_S)
        await retry_ledger(
            lambda: self._registry.secrets.retire(bot_id), conditions=self._conditions, sleep=self._sleep
        )
        log.info("webhook_secret_changed", bot_id=bot_id)

    async def unset(self, bot_id: int) -> None:
        """Delete the webhook that we set, if we did; the bot's owner may have set another."""
        if self._registry.secrets.of(bot_id).fingerprint is None:
            return

        async def call() -> None:
            await self._registry.bot(bot_id).delete_webhook()
            await self._registry.secrets.note_registered(
                bot_id, None
            )  # second: after a crash in between it is deleted again

        await self._retry(bot_id, call)

    async def delete(self, bot: Bot) -> None:
        """Delete the webhook of a bot that was removed, unless its token is revoked."""

        async def call() -> None:
            try:
                await bot.delete_webhook()
            except TOKEN_UNKNOWN:
                log.info("webhook_of_revoked_token_not_deleted", bot_id=bot.id)

        await self._retry(bot.id, call)

    async def _retry(self, bot_id: int, call: Callable[[], Awaitable[None]]) -> bool:
        """Repeat a call until it is taken; False if the bot's token is revoked instead."""
        pause_s, logged = PAUSE_S_MIN, ""
        with self._health.watching(bot_id):
            while True:
                token = self._registry.token_of(bot_id)  # before the call: a new one must not be taken for refused
                if (error := await self._try(bot_id, call)) is None:
                    break
                logged = self._note(bot_id, error, logged)
                if isinstance(error, TelegramUnauthorizedError) and await self._is_paused(bot_id, token):
                    return False
                await self._sleep(max(wait_s_of(error), pause_s))
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
            self._health.succeeded(bot_id)
        if logged:
            log.info("webhook_changed", bot_id=bot_id)
        return True

    def _note(self, bot_id: int, error: Exception, logged: str) -> str:
        """Log why a call failed, unless that was logged last; return what is logged now.

        A call without an answer may be the trouble of all bots, so that is not logged for each.
        """
        reason = reason_of(error)
        if isinstance(error, UNANSWERED):
            self._health.failed(bot_id, reason)
            return logged
        if isinstance(error, TelegramAPIError):
            self._health.succeeded(bot_id)
        if reason != logged:
            log.warning("webhook_not_changed", bot_id=bot_id, reason=reason)
        return reason

    async def _is_paused(self, bot_id: int, token: str | None) -> bool:
        """Pause a bot whose token is revoked; False if it has another token by now, or is removed."""
        if not self._registry.has(bot_id):
            return False
        return await retry_ledger(
            lambda: self._pause_revoked(bot_id, token), conditions=self._conditions, sleep=self._sleep
        )

    async def _try(self, bot_id: int, call: Callable[[], Awaitable[None]]) -> Exception | None:
        """Make a call, a second after the bot's last one; return None if it was taken, else what went wrong."""
        free_at_ms = self._called_at_ms.get(bot_id, 0) + PACE_MS
        if (early_ms := free_at_ms - self._clock()) > 0:
            await self._sleep(early_ms / 1_000)
        try:
            await call()
        except FAILURES as error:
            return error
        finally:
            self._called_at_ms[bot_id] = self._clock()  # when it was answered: not earlier than Telegram counted it
        return None

    async def _register(self, bot_id: int) -> None:
        secret, bot = await self._registry.secrets.to_register(bot_id), self._registry.bot(bot_id)
        await bot.set_webhook(
            self.url_of(bot),
            secret_token=secret,
            max_connections=CONNECTIONS_MAX,
            allowed_updates=self._allowed_for(bot_id),
        )
        await self._registry.secrets.note_registered(bot_id, self._fingerprint(bot, secret))

    async def _is_registered(self, bot_id: int) -> bool:
        """Tell whether exactly this webhook is registered, and no other caller has changed it since."""
        kept, bot = self._registry.secrets.of(bot_id), self._registry.bot(bot_id)
        secret = kept.next_secret or kept.secret
        if secret is None or kept.fingerprint != self._fingerprint(bot, secret):
            return False
        try:
            return (await bot.get_webhook_info()).url == self.url_of(bot)
        except FAILURES:
            return False

    def url_of(self, bot: Bot) -> str:
        """Return where Telegram is to deliver a bot's updates."""
        return f"{self._public_url}/webhook/telegram/{bot.token}"

    def _fingerprint(self, bot: Bot, secret: str) -> str:
        """Return a hash that distinguishes webhooks and reveals neither token nor secret."""
        webhook = msgspec.json.encode([self.url_of(bot), secret, CONNECTIONS_MAX, self._allowed_for(bot.id)])
        return hashlib.sha256(webhook).hexdigest()


def reason_of(error: Exception) -> str:
    """Return why Telegram refused a call, in its own words; of other errors the name, as their text may hold a token.

    >>> from aiogram.exceptions import TelegramBadRequest, TelegramNetworkError
    >>> from aiogram.methods import SetWebhook
    >>> method = SetWebhook(url="https://example.org")
    >>> reason_of(TelegramBadRequest(method, "Bad Request: bad webhook: HTTPS url must be provided for webhook"))
    'Bad Request: bad webhook: HTTPS url must be provided for webhook'
    >>> reason_of(TelegramNetworkError(method, "ClientConnectorError: Cannot connect to host"))
    'ClientConnectorError'
    """
    match error:
        case TelegramNetworkError(__cause__=ProxyFailed() as failed):
            return str(failed)
        case TelegramNetworkError(message=message):
            return message.partition(":")[0]
        case TelegramAPIError(message=message):
            return message.rpartition(ORIGINAL)[2]
        case _:
            return type(error).__name__


def wait_s_of(error: Exception) -> float:
    """Return how long Telegram asks to wait; 0 if it does not."""
    match error:
        case TelegramRetryAfter(retry_after=seconds):
            return float(seconds)
        case TelegramAPIError(message=message) if TOO_MANY in message:
            return float(throttled_s(parameter=None, header_s=None, text=message))
        case _:
            return 0.0
