"""Which bots exist, cached so that no unknown bot gets a message, and what is said of one that does not."""

from __future__ import annotations

from collections.abc import Iterable

from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import Refusal
from tempogram.api.core.repositories import Bots
from tempogram.storage.bots import RegisteredBot


class KnownBots:
    """Reads each bot from storage once; a known bot stays known until it is removed."""

    def __init__(self, bots: Bots) -> None:
        self._bots = bots
        self._known: set[int] = set()
        self._times_forgotten = 0

    async def check(self, bot_id: int) -> None:
        """Raise ``Refusal`` if there is no such bot."""
        if await self.missing([bot_id]):
            raise unknown_bot(bot_id)

    async def missing(self, bot_ids: Iterable[int]) -> set[int]:
        """Return the bots that do not exist. Cost: one read, if any was not seen before."""
        unseen = set(bot_ids) - self._known
        if not unseen:
            return unseen
        before = self._times_forgotten
        found = await self._bots.among(unseen)
        if self._times_forgotten == before:  # else the read may be older than the removal
            self._known |= found
        return unseen - found

    def forget(self, bot_id: int) -> None:
        """Read the bot from storage again: it was removed."""
        self._known.discard(bot_id)
        self._times_forgotten += 1


async def check_bot(bots: Bots, bot_id: int) -> None:
    """Raise ``Refusal`` if there is no such bot; for what is asked too seldom to be kept in memory."""
    if not await bots.among([bot_id]):
        raise unknown_bot(bot_id)


async def bot_of_path(bots: Bots, bot_id: int) -> RegisteredBot:
    """Return the bot that a path names; raises ``NotFound``."""
    bot = await bots.get(bot_id)
    if bot is None:
        raise no_bot(bot_id)
    return bot


def unknown_bot(bot_id: int) -> Refusal:
    return Refusal(f"bot {bot_id} does not run here; add it with POST /bots")


def no_bot(bot_id: int) -> NotFound:
    return NotFound(f"there is no bot {bot_id}")
