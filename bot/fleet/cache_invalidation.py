"""Keeps the memory current: reads again from the database what other processes changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.changes import (
    AccessChanged,
    BotChanged,
    Change,
    Changes,
    ChatChanged,
    Missed,
    ServiceChanged,
)
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()


READ_EVERY_S = 60.0
"""Between two reads of all bots and services, a few thousand rows at most; untuned: changes are announced as well."""

LOOK_EVERY_S = 1.5
"""Between two looks for lost chats to read again; untuned: a read costs one query."""


class BotCache(Protocol):
    """See ``bot.fleet.fleet.Fleet``."""

    async def load(self) -> None: ...

    async def reload(self, bot_ids: Collection[int]) -> None: ...


class ChatCache(Protocol):
    """See ``engine.closing.reachability.Reachability``."""

    async def load(self) -> None: ...

    async def reload(self, bot_chats: Collection[tuple[int, ChatId]]) -> None: ...

    def due_for_reload(self) -> Collection[tuple[int, ChatId]]: ...


class ServiceCache(Protocol):
    """See ``engine.services.changed.ChangedServices``."""

    async def load(self) -> None: ...

    def closed(self, name: str, operations: Collection[str]) -> None: ...


@dataclass(slots=True)
class Stale:
    """What is to be read again."""

    everything: bool = False
    every_bot: bool = False
    every_service: bool = False
    bots: set[int] = field(default_factory=set)
    chats: set[tuple[int, ChatId]] = field(default_factory=set)

    def add(self, item: Change) -> None:
        match item:
            case BotChanged(bot_id):
                self.bots.add(bot_id)
            case ChatChanged(bot_id, chat_id):
                self.chats.add((bot_id, chat_id))
            case ServiceChanged():
                self.every_service = True
            case AccessChanged():
                pass  # it is forgotten at once, and read when it is needed
            case Missed():
                self.everything = True


class CacheInvalidation:
    """Changes announced during a read are collected, and read together after it.

    Args:
        services: None: this process calls none.
        forget_access: Called when a user or an API token was changed, or may have been.
    """

    def __init__(
        self,
        *,
        changes: Changes,
        fleet: BotCache,
        reachability: ChatCache,
        services: ServiceCache | None = None,
        forget_access: Callable[[], None] = lambda: None,
        conditions: Conditions,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._changes = changes
        self._fleet = fleet
        self._reachability = reachability
        self._services = services
        self._forget_access = forget_access
        self._conditions = conditions
        self._sleep = sleep
        self._stale = Stale()
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; while the database is unavailable, reads are retried."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._changes.run(self._receive))
            loops.create_task(self._reload_stale())
            loops.create_task(self._reload_regularly())
            loops.create_task(self._reload_unreachable_chats())

    async def _receive(self, item: Change) -> None:
        if isinstance(item, ServiceChanged) and self._services is not None:
            self._services.closed(item.name, item.closed)
        if isinstance(item, AccessChanged | Missed):
            self._forget_access()
        self._stale.add(item)
        self._wakeup.set()

    async def _reload_regularly(self) -> None:
        """Read bots and services even unannounced: a process may end between a change and its announcement."""
        while True:
            await self._sleep(READ_EVERY_S)
            self._stale.every_bot = self._stale.every_service = True
            self._wakeup.set()

    async def _reload_unreachable_chats(self) -> None:
        while True:
            await self._sleep(LOOK_EVERY_S)
            bot_chats = self._reachability.due_for_reload()
            if bot_chats:
                self._stale.chats.update(bot_chats)
                self._wakeup.set()

    async def _reload_stale(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            stale, self._stale = self._stale, Stale()
            await self._read_bots(stale)
            await self._read_chats(stale)
            await self._read_services(stale)

    async def _read_bots(self, stale: Stale) -> None:
        if stale.everything or stale.every_bot:
            await self._retry(self._fleet.load)
        elif stale.bots:
            await self._retry(lambda: self._fleet.reload(stale.bots))

    async def _read_chats(self, stale: Stale) -> None:
        if stale.everything:
            log.info("announcements_missed")
            await self._retry(self._reachability.load)
        elif stale.chats:
            await self._retry(lambda: self._reachability.reload(stale.chats))

    async def _read_services(self, stale: Stale) -> None:
        if self._services is not None and (stale.everything or stale.every_service):
            await self._retry(self._services.load)

    async def _retry(self, read: Callable[[], Awaitable[None]]) -> None:
        await retry_ledger(read, sleep=self._sleep, conditions=self._conditions)
