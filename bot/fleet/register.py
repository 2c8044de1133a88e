"""Keeps the roster and the books in step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiogram.types import User

from tempogram.api.core.ports import Refusal
from tempogram.bot.fleet.changes import BotLocks
from tempogram.bot.fleet.registry import Registry
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.engine.ports import Clock
from tempogram.storage.bots import Bots, Source


class Register:
    """Where bots are written down, and read again; each time the roster is what the books then say."""

    def __init__(
        self,
        *,
        bots: Bots,
        registry: Registry,
        bot_locks: BotLocks,
        default_behaviours: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self._bots = bots
        self._registry = registry
        self._bot_locks = bot_locks
        self._default_behaviours = default_behaviours
        self._clock = clock

    async def read_all(self) -> list[int]:
        """Read every bot; return those that are to be fed otherwise."""
        async with self._bot_locks.lock:
            kept = await self._bots.kept()
            return self._registry.take({*self._registry.bot_ids, *kept}, kept)

    async def read(self, bot_ids: Collection[int]) -> list[int]:
        """Read some bots again; return those that are to be fed otherwise."""
        async with self._bot_locks.lock:
            return self._registry.take(bot_ids, await self._bots.kept(bot_ids))

    async def keep(
        self, token: str, *, username: str = "", first_name: str = "", behaviours: Mapping[str, Any] | None = None
    ) -> None:
        async with self._bot_locks.lock:
            await self._write(token, username=username, first_name=first_name, behaviours=behaviours)

    async def name(self, token: str, me: User) -> bool:
        """Write what Telegram calls a bot; False if it has another token, or none, by now."""
        async with self._bot_locks.lock:
            if not self._registry.has_token(token):
                return False
            await self._write(token, username=me.username or "", first_name=me.first_name, behaviours=None)
        return True

    async def learn(self, token: str) -> None:
        """Keep a token that a user's own ``Bot`` brought.

        Raises:
            Refusal: The bot was removed. A handler that still runs must not bring it back.
        """
        bot_id = bot_id_of(token)
        async with self._bot_locks.lock:
            self._registry.take([bot_id], await self._bots.kept([bot_id]))  # somebody may have removed it since we read
            if self._registry.is_removed(bot_id):
                raise Refusal(f"bot {bot_id} was removed; add it again with POST /bots")
            if not self._registry.has(bot_id):
                await self._write(token, username="", first_name="", behaviours={})

    async def set_behaviours(self, bot_id: int, behaviours: Mapping[str, Any]) -> None:
        async with self._bot_locks.of(bot_id):
            await self._bots.set_behaviours(bot_id, behaviours)
            self._registry.note(bot_id, behaviours=behaviours)

    async def set_updates(self, bot_id: int, source: Source) -> None:
        async with self._bot_locks.of(bot_id):
            await self._bots.set_updates(bot_id, source)
            self._registry.note(bot_id, updates=source)

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """Strike a bot off; False if there is none."""
        async with self._bot_locks.of(bot_id):
            if not self._registry.has(bot_id) or not await self._bots.remove(bot_id, keep_messages=keep_messages):
                return False
            self._registry.remove(bot_id)
        return True

    async def _write(self, token: str, *, username: str, first_name: str, behaviours: Mapping[str, Any] | None) -> None:
        bot_id = bot_id_of(token)
        given = self._default_behaviours if behaviours is None else behaviours
        async with self._bot_locks.announced(bot_id):
            await self._bots.add(
                bot_id, token, username=username, first_name=first_name, behaviours=given, now_ms=self._clock()
            )
            if behaviours is not None:
                await self._bots.set_behaviours(bot_id, behaviours)
            self._registry.take([bot_id], await self._bots.kept([bot_id]))
