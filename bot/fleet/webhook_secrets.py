"""The secrets that prove a webhook call comes from Telegram, and the webhook last registered there."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from tempogram.engine.ports import Clock
from tempogram.storage.bots import Bots, StoredWebhook

BotLock = Callable[[int], AbstractAsyncContextManager[None]]


REREAD_EVERY_MS = 1_000
"""untuned: Telegram repeats a delivery that was refused, the first time after about as long."""


def new_secret() -> str:
    return secrets.token_urlsafe(32)


class WebhookSecrets:
    """The webhook secrets of all bots that run here.

    Args:
        lock: Locks one bot, so that the database and the memory change together; see ``BotLocks``.
    """

    def __init__(self, bots: Bots, lock: BotLock) -> None:
        self._bots = bots
        self._lock = lock
        self._kept: dict[int, StoredWebhook] = {}

    def of(self, bot_id: int) -> StoredWebhook:
        return self._kept.get(bot_id, StoredWebhook())

    def accepted(self, bot_id: int) -> list[str]:
        """Return the secrets of which a webhook call must bear one."""
        kept = self.of(bot_id)
        return [secret for secret in (kept.secret, kept.next_secret) if secret is not None]

    def put(self, bot_id: int, kept: StoredWebhook) -> None:
        """Set a bot's secrets to what the database says."""
        self._kept[bot_id] = kept

    def forget(self, bot_id: int) -> None:
        self._kept.pop(bot_id, None)

    async def note_registered(self, bot_id: int, fingerprint: str | None) -> None:
        """Store the fingerprint of the webhook that Telegram took last; None: it was deleted."""
        async with self._lock(bot_id):
            if await self._bots.set_webhook_fingerprint(bot_id, fingerprint):
                self.put(bot_id, replace(self.of(bot_id), fingerprint=fingerprint))

    async def to_register(self, bot_id: int) -> str:
        """Return the secret to register with Telegram; a bot's first one is made here."""
        kept = self.of(bot_id)
        secret = kept.next_secret or kept.secret
        return await self._first(bot_id) if secret is None else secret

    async def rotate(self, bot_id: int) -> bool:
        """Make a bot's next secret; return False if it was removed.

        The order is: store the new secret, register it with Telegram, and only then forget the old one. So every
        webhook call bears a secret that we know, wherever a crash comes in between.
        """
        secret = new_secret()
        async with self._lock(bot_id):
            is_written = await self._bots.set_next_webhook_secret(bot_id, secret)
            if is_written:
                self.put(bot_id, replace(self.of(bot_id), next_secret=secret))
        return is_written

    async def retire(self, bot_id: int) -> None:
        """Forget the old secret, once Telegram has taken the new one."""
        async with self._lock(bot_id):
            secret = self.of(bot_id).next_secret
            if secret is not None and await self._bots.set_webhook_secret(bot_id, secret):
                self.put(bot_id, replace(self.of(bot_id), secret=secret, next_secret=None))

    async def _first(self, bot_id: int) -> str:
        secret = new_secret()
        async with self._lock(bot_id):
            if await self._bots.set_webhook_secret(bot_id, secret):
                self.put(bot_id, replace(self.of(bot_id), secret=secret))
        return secret


class Rereads:
    """Reads a bot again at most once a second: wrong secrets must not keep the database busy.

    Those that ask meanwhile wait for what is being read.
    """

    def __init__(self, read: Callable[[int], Awaitable[None]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._read_at_ms: dict[int, int] = {}

    async def of(self, bot_id: int) -> None:
        async with self._locks[bot_id]:
            now_ms, read_at_ms = self._clock(), self._read_at_ms.get(bot_id)
            if read_at_ms is not None and 0 <= now_ms - read_at_ms < REREAD_EVERY_MS:
                return
            self._read_at_ms[bot_id] = now_ms
            await self._read(bot_id)
