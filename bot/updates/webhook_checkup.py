"""Asks Telegram now and then whether webhooks still stand, and what it says of its deliveries."""

from __future__ import annotations

import asyncio

import structlog
from aiogram import Bot
from aiogram.types import WebhookInfo

from tempogram.bot.fleet.registry import Registry
from tempogram.bot.updates.webhooks import FAILURES, Webhooks, reason_of
from tempogram.engine.ports import Clock
from tempogram.storage.bots import Source

log = structlog.get_logger()

AT_ONCE = 4
"""Bots that are asked of at once. untuned: 10,000 of them take some minutes of an hour, and few connections."""

SET_S = 60.0
"""How long a webhook is tried to be set, before the next bot has its turn; the next check-up tries again."""

RECENT_MS = 3_600_000
"""How old a failed delivery may be to be reported: a task calls this once an hour."""


class WebhookCheckup:
    """See the module. A restart checks them, too; but between two, an owner of a token may set another webhook."""

    def __init__(self, *, registry: Registry, webhooks: Webhooks, clock: Clock) -> None:
        self._registry = registry
        self._webhooks = webhooks
        self._clock = clock

    async def run(self) -> None:
        """Check the webhook of each bot that has one."""
        waiting = [bot_id for bot_id in self._registry.bot_ids if self._has_webhook(bot_id)]

        async def check_next() -> None:
            while waiting:
                await self._check(waiting.pop())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(waiting))):
                group.create_task(check_next())

    async def _check(self, bot_id: int) -> None:
        if not self._has_webhook(bot_id):
            return
        bot = self._registry.bot(bot_id)
        try:
            info = await bot.get_webhook_info()
        except FAILURES as error:
            log.debug("webhook_not_checked", bot_id=bot_id, reason=reason_of(error))
            return
        if info.url != self._webhooks.url_of(bot):
            await self._set_again(bot_id, has_another=bool(info.url))
        elif self._has_failed(info):
            self._report(bot, info)

    async def _set_again(self, bot_id: int, *, has_another: bool) -> None:
        if not self._has_webhook(bot_id):  # as it was when Telegram was asked
            return
        log.warning("webhook_lost", bot_id=bot_id, has_another=has_another)
        try:
            async with asyncio.timeout(SET_S):
                await self._webhooks.set(bot_id)
        except TimeoutError:
            log.debug("webhook_not_checked", bot_id=bot_id, reason="it cannot be set now")

    def _report(self, bot: Bot, info: WebhookInfo) -> None:
        reason = (info.last_error_message or "").replace(bot.token, "…")
        log.warning("webhook_deliveries_fail", bot_id=bot.id, reason=reason, waiting=info.pending_update_count)

    def _has_failed(self, info: WebhookInfo) -> bool:
        failed_at = info.last_error_date
        return failed_at is not None and failed_at.timestamp() * 1_000 > self._clock() - RECENT_MS

    def _has_webhook(self, bot_id: int) -> bool:
        if not self._registry.has(bot_id):
            return False
        return self._registry.source_of(self._registry.registered(bot_id)) is Source.WEBHOOK
