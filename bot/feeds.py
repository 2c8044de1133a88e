"""Where each bot's updates come from: a webhook if Telegram can reach us, else a poller of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.fleet import Fleet
from bot.poller import Poller
from bot.webhooks import Webhooks


class Feeds:
    """Lets updates come for every bot of the fleet, also for one that is added later."""

    def __init__(self, *, fleet: Fleet, webhooks: Webhooks | None, poller_for: Callable[[int], Poller]) -> None:
        self._fleet = fleet
        self._webhooks = webhooks
        self._poller_for = poller_for
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Begin with the bots that are there; from now on an added one is fed at once."""
        for bot_id in self._fleet.bot_ids:
            if not self._fleet.is_learned(bot_id):
                self._feed(bot_id)
        self._fleet.when_added(self._feed)

    async def settled(self) -> None:
        """Wait until Telegram has been told about every webhook."""
        if self._webhooks is not None:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def end(self) -> None:
        self._fleet.when_added(None)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _feed(self, bot_id: int) -> None:
        if self._webhooks is not None:
            if bot_id in self._tasks:
                self._tasks[bot_id].cancel()
            self._tasks[bot_id] = asyncio.create_task(self._webhooks.set(bot_id))
        elif bot_id not in self._tasks:
            # A poller asks for the token before each poll, so it goes on with a new one.
            self._tasks[bot_id] = asyncio.create_task(self._poller_for(bot_id).run())
