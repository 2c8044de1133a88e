"""Follows what other processes change: reads again in the books what is kept here in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.changes import BotChanged, Change, Changes, ChatChanged, Missed
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, retry_write

log = structlog.get_logger()


READ_EVERY_S = 60.0
"""Between two readings of all bots, which are some thousands of rows at most. A guess."""

LOOK_EVERY_S = 1.5
"""Between two looks whether chats that were lost here are to be read again. A guess."""


class FollowsBots(Protocol):
    """See ``bot.fleet.Fleet``."""

    async def load(self) -> None: ...

    async def reload(self, bot_ids: Collection[int]) -> None: ...


class FollowsChats(Protocol):
    """See ``engine.reachability.Reachability``."""

    async def load(self) -> None: ...

    async def reload(self, bot_chats: Collection[tuple[int, ChatId]]) -> None: ...

    def to_read_again(self) -> Collection[tuple[int, ChatId]]: ...


@dataclass(slots=True)
class Stale:
    """What is to be read again."""

    everything: bool = False
    every_bot: bool = False
    bots: set[int] = field(default_factory=set)
    chats: set[tuple[int, ChatId]] = field(default_factory=set)

    def add(self, item: Change) -> None:
        match item:
            case BotChanged(bot_id):
                self.bots.add(bot_id)
            case ChatChanged(bot_id, chat_id):
                self.chats.add((bot_id, chat_id))
            case Missed():
                self.everything = True


class CacheInvalidation:
    """What is announced while the books are read is gathered, and read all at once after that."""

    def __init__(
        self,
        *,
        changes: Changes,
        fleet: FollowsBots,
        reachability: FollowsChats,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._changes = changes
        self._fleet = fleet
        self._reachability = reachability
        self._conditions = conditions
        self._sleep = sleep
        self._stale = Stale()
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled; while the ledger is away, it is asked again."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._changes.run(self._hear))
            loops.create_task(self._follow())
            loops.create_task(self._read_now_and_then())
            loops.create_task(self._read_lost_again())

    async def _hear(self, item: Change) -> None:
        self._stale.add(item)
        self._heard.set()

    async def _read_now_and_then(self) -> None:
        """Read the bots again even if nothing was heard: a process may end between a change and its announcement."""
        while True:
            await self._sleep(READ_EVERY_S)
            self._stale.every_bot = True
            self._heard.set()

    async def _read_lost_again(self) -> None:
        while True:
            await self._sleep(LOOK_EVERY_S)
            bot_chats = self._reachability.to_read_again()
            if bot_chats:
                self._stale.chats.update(bot_chats)
                self._heard.set()

    async def _follow(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            stale, self._stale = self._stale, Stale()
            await self._read_bots(stale)
            await self._read_chats(stale)

    async def _read_bots(self, stale: Stale) -> None:
        try:
            if stale.everything or stale.every_bot:
                await self._insist(self._fleet.load)
            elif stale.bots:
                await self._insist(lambda: self._fleet.reload(stale.bots))
        except SettingsError as error:
            log.error("alert", kind="secret_key_differs", reason=str(error))  # noqa: TRY400 - one sentence, no traceback

    async def _read_chats(self, stale: Stale) -> None:
        if stale.everything:
            log.info("news may have been missed; everything is read again")
            await self._insist(self._reachability.load)
        elif stale.chats:
            await self._insist(lambda: self._reachability.reload(stale.chats))

    async def _insist(self, read: Callable[[], Awaitable[None]]) -> None:
        await retry_write(read, sleep=self._sleep, conditions=self._conditions)
