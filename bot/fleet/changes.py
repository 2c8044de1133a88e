"""Lets the books and what is in memory of a bot change together, and the other processes hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tempogram.engine.ports.changes import BotChanged, Changes


class BotLocks:
    """Changes of the bots that run here, one at a time.

    What is in memory is what the books said at one moment, or later: whoever reads them or writes to them here keeps
    everybody else out until it is in memory, too. What was written is announced, so that the other processes read it.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def of(self, bot_id: int) -> AsyncIterator[None]:
        """Lend one bot to whoever changes it."""
        async with self.lock, self.announced(bot_id):
            yield

    @asynccontextmanager
    async def announced(self, bot_id: int) -> AsyncIterator[None]:
        """Announce in the end what is written of a bot by whoever has the turn.

        Also if the books refused: perhaps only their answer was lost.
        """
        try:
            yield
        finally:
            await self._changes.announce(BotChanged(bot_id))
