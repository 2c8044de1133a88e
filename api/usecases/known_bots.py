"""Which bots there are, so that no message is accepted for one that is not."""

from __future__ import annotations

from collections.abc import Iterable

from tempogram.api.core.ports import Refusal
from tempogram.api.core.repositories import Bots


class KnownBots:
    """Asks the books once for each bot: one that is there stays there until it is forgotten."""

    def __init__(self, bots: Bots) -> None:
        self._bots = bots
        self._known: set[int] = set()
        self._times_forgotten = 0

    async def check(self, bot_id: int) -> None:
        """Raise ``Refusal`` if there is no such bot."""
        if await self.missing([bot_id]):
            raise stranger(bot_id)

    async def missing(self, bot_ids: Iterable[int]) -> set[int]:
        """Return those that are not there. Cost: one read, if any was not seen before."""
        unseen = set(bot_ids) - self._known
        if not unseen:
            return unseen
        before = self._times_forgotten
        found = await self._bots.among(unseen)
        if self._times_forgotten == before:  # else what was read may be of the time before
            self._known |= found
        return unseen - found

    def forget(self, bot_id: int) -> None:
        """Ask the books again: it was removed."""
        self._known.discard(bot_id)
        self._times_forgotten += 1


def stranger(bot_id: int) -> Refusal:
    return Refusal(f"bot {bot_id} does not run here; add it with POST /bots")
