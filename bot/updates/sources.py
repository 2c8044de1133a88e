"""Where each bot's updates come from (a webhook, a poller, or neither), and which kinds are asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import structlog
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
    """Keeps the update source of every bot as it is configured, also when that changes.

    An update stored before a switch and not confirmed comes again after it, and is stored once.
    """

    def __init__(self, *, fleet: Fleet, webhooks: Webhooks, poller_for: Callable[[int], Poller]) -> None:
        self._fleet = fleet
        self._registry = fleet.registry
        self._webhooks = webhooks
        self._poller_for = poller_for
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: dict[int, asyncio.Task[None]] = {}
        self._ready: dict[int, asyncio.Event] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def start(self) -> None:
        """Start the source of every bot; from now on changes of the fleet apply at once."""
        for bot_id in self._registry.bot_ids:
            self._restart(bot_id)
        self._fleet.when_changed(self._restart)

    async def wait_ready(self) -> None:
        """Wait until every source is set up, or has failed.

        A webhook is set up once Telegram has registered or deleted it; a poller as soon as its task runs, before it has
        asked Telegram for anything.
        """
        for ready in list(self._ready.values()):
            await ready.wait()

    async def stop(self) -> None:
        self._fleet.when_changed(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _restart(self, bot_id: int) -> None:
        """Start a bot's source as it is configured now; the one before ends first."""
        if bot_id in self._latest:
            self._latest[bot_id].cancel()
        ready = self._ready[bot_id] = asyncio.Event()
        task = self._latest[bot_id] = asyncio.create_task(self._run(bot_id, self._job_of(bot_id, ready), ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, bot_id: int, job: Callable[[], Coroutine[Any, Any, None]], ready: asyncio.Event) -> None:
        try:
            async with self._locks[bot_id]:
                await job()
        except Exception:
            log.exception("update_source_failed", bot_id=bot_id)
        finally:
            ready.set()

    def _job_of(self, bot_id: int, ready: asyncio.Event) -> Callable[[], Coroutine[Any, Any, None]]:
        removed = self._registry.removed_bot(bot_id)
        if removed is not None:
            return lambda: self._delete_webhook_of(removed)
        match self._registry.source_of(self._registry.registered(bot_id)):
            case Source.WEBHOOK:
                return lambda: self._by_webhook(bot_id, ready)
            case Source.POLLING:
                return lambda: self._by_polling(bot_id, ready)
            case Source.NONE:
                return lambda: self._webhooks.unset(bot_id)

    async def _delete_webhook_of(self, removed: RemovedBot) -> None:
        if removed.may_have_webhook:
            await self._webhooks.delete(removed.bot())

    async def _by_webhook(self, bot_id: int, ready: asyncio.Event) -> None:
        await self._fleet.verify(bot_id)
        is_set = await self._webhooks.set(bot_id)
        ready.set()
        if not is_set:
            return  # its token is revoked; with a valid one this begins anew
        await self._webhooks.retire_secret(bot_id)

    async def _by_polling(self, bot_id: int, ready: asyncio.Event) -> None:
        ready.set()
        await self._fleet.verify(bot_id)
        await self._webhooks.unset(bot_id)
        await self._poller_for(bot_id).run()


def allowed_updates(used: Collection[str]) -> list[str]:
    """Return the kinds of updates to ask Telegram for, given those with handlers; an empty list: the default ones.

    >>> allowed_updates({"message"})
    []
    """
    wanted = ON_REQUEST & set(used)
    return sorted({*UpdateType} - ON_REQUEST | wanted) if wanted else []
