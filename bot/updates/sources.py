"""Where each bot's updates come from: a webhook, a poller of its own, or neither."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiogram import Router
from aiogram.enums import UpdateType

from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.registry import RemovedBot
from tempogram.bot.updates.poller import Poller
from tempogram.bot.updates.webhooks import Webhooks
from tempogram.storage.bots import Source

log = structlog.get_logger()

ON_REQUEST = frozenset({UpdateType.CHAT_MEMBER, UpdateType.MESSAGE_REACTION, UpdateType.MESSAGE_REACTION_COUNT})
"""Delivered only when they are named. Source: https://core.telegram.org/bots/api#getupdates"""


class UpdateSources:
    """Lets updates come for every bot of the fleet, as each is wanted at any time.

    What is stored before a switch and not confirmed comes again after it, and is stored once.
    """

    def __init__(self, *, fleet: Fleet, webhooks: Webhooks, poller_for: Callable[[int], Poller]) -> None:
        self._fleet = fleet
        self._registry = fleet.registry
        self._webhooks = webhooks
        self._poller_for = poller_for
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: dict[int, asyncio.Task[None]] = {}
        self._begun: dict[int, asyncio.Event] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def begin(self) -> None:
        """Begin with the bots that are there; from now on what changes in the fleet is heeded at once."""
        for bot_id in self._registry.bot_ids:
            self._feed(bot_id)
        self._fleet.when_changed(self._feed)

    async def settled(self) -> None:
        """Wait until Telegram knows for each bot where its updates shall go."""
        for begun in list(self._begun.values()):
            await begun.wait()

    async def end(self) -> None:
        self._fleet.when_changed(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _feed(self, bot_id: int) -> None:
        """Let a bot be fed as it is wanted now; what fed it before ends first."""
        if bot_id in self._latest:
            self._latest[bot_id].cancel()
        begun = self._begun[bot_id] = asyncio.Event()
        task = self._latest[bot_id] = asyncio.create_task(self._in_turn(bot_id, self._way(bot_id, begun), begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, bot_id: int, way: Callable[[], Coroutine[Any, Any, None]], begun: asyncio.Event) -> None:
        try:
            async with self._turns[bot_id]:
                await way()
        except Exception:
            log.exception("no updates come for a bot", bot_id=bot_id)
        finally:
            begun.set()

    def _way(self, bot_id: int, begun: asyncio.Event) -> Callable[[], Coroutine[Any, Any, None]]:
        leaving = self._registry.removed_bot(bot_id)
        if leaving is not None:
            return lambda: self._after(leaving)
        match self._registry.source_of(self._registry.registered(bot_id)):
            case Source.WEBHOOK:
                return lambda: self._by_webhook(bot_id, begun)
            case Source.POLLING:
                return lambda: self._by_polling(bot_id, begun)
            case Source.NONE:
                return lambda: self._webhooks.unset(bot_id)

    async def _after(self, leaving: RemovedBot) -> None:
        if leaving.may_have_webhook:
            await self._webhooks.delete(leaving.bot)

    async def _by_webhook(self, bot_id: int, begun: asyncio.Event) -> None:
        await self._fleet.verify(bot_id)
        await self._webhooks.set(bot_id)
        begun.set()
        await self._webhooks.retire_secret(bot_id)

    async def _by_polling(self, bot_id: int, begun: asyncio.Event) -> None:
        begun.set()
        await self._fleet.verify(bot_id)
        await self._webhooks.unset(bot_id)
        await self._poller_for(bot_id).run()


def allowed_updates(router: Router) -> list[str]:
    """Return the kinds of updates to ask Telegram for; an empty list means the default ones.

    >>> allowed_updates(Router())
    []
    """
    wanted = ON_REQUEST & set(router.resolve_used_update_types())
    return sorted({*UpdateType} - ON_REQUEST | wanted) if wanted else []
