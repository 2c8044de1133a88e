"""The secrets by which we know that a webhook call comes from Telegram, and what Telegram was told last."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from tempogram.storage.bots import Bots, StoredWebhook

Changing = Callable[[int], AbstractAsyncContextManager[None]]


def new_secret() -> str:
    return secrets.token_urlsafe(32)


class WebhookSecrets:
    """Those of all bots that run here.

    Args:
        changing: Lends one bot, so that its books and what is kept here of it change together; see ``Fleet``.
    """

    def __init__(self, bots: Bots, changing: Changing) -> None:
        self._bots = bots
        self._changing = changing
        self._kept: dict[int, StoredWebhook] = {}

    def of(self, bot_id: int) -> StoredWebhook:
        return self._kept.get(bot_id, StoredWebhook())

    def accepted(self, bot_id: int) -> list[str]:
        """Return those of which a webhook call must bear one."""
        kept = self.of(bot_id)
        return [secret for secret in (kept.secret, kept.next_secret) if secret is not None]

    def put(self, bot_id: int, kept: StoredWebhook) -> None:
        """Let a bot's be what the books say."""
        self._kept[bot_id] = kept

    def forget(self, bot_id: int) -> None:
        self._kept.pop(bot_id, None)

    async def note_told(self, bot_id: int, told: str | None) -> None:
        """Note what Telegram took last, as a fingerprint; None: that there shall be no webhook."""
        async with self._changing(bot_id):
            if await self._bots.set_webhook_told(bot_id, told):
                self.put(bot_id, replace(self.of(bot_id), told=told))

    async def to_tell(self, bot_id: int) -> str:
        """Return the secret that Telegram shall send from now on; a bot's first one is made here."""
        kept = self.of(bot_id)
        secret = kept.next_secret or kept.secret
        return await self._first(bot_id) if secret is None else secret

    async def rotate(self, bot_id: int) -> bool:
        """Give a bot another secret; False if it was removed.

        The order is: written here, told to Telegram, and only then the old one forgotten. So whatever Telegram sends
        bears a secret that we know, wherever a crash comes in between.
        """
        secret = new_secret()
        async with self._changing(bot_id):
            is_written = await self._bots.set_next_webhook_secret(bot_id, secret)
            if is_written:
                self.put(bot_id, replace(self.of(bot_id), next_secret=secret))
        return is_written

    async def retire(self, bot_id: int) -> None:
        """Forget the old secret; Telegram has taken the new one."""
        async with self._changing(bot_id):
            secret = self.of(bot_id).next_secret
            if secret is not None and await self._bots.set_webhook_secret(bot_id, secret):
                self.put(bot_id, replace(self.of(bot_id), secret=secret, next_secret=None))

    async def _first(self, bot_id: int) -> str:
        secret = new_secret()
        async with self._changing(bot_id):
            if await self._bots.set_webhook_secret(bot_id, secret):
                self.put(bot_id, replace(self.of(bot_id), secret=secret))
        return secret
