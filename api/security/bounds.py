"""Of which bots a caller sees and does anything: all, or those that its token is bound to.

``auth.requires`` applies it to each route: a path that names a bot is refused if it is another one, and a route that
says nothing of bounds is refused to every bound token. So a new route shows nothing of other bots by oversight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from tempogram.api.core.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bots of a caller; None: all.

    >>> Bounds(frozenset({42})).has(42), Bounds(frozenset({42})).has(43), ALL.has(43)
    (True, False, True)
    """

    bots: frozenset[int] | None = None

    def has(self, bot_id: int) -> bool:
        return self.bots is None or bot_id in self.bots

    def check(self, bot_id: int) -> None:
        """Refuse another bot, whether it exists or not.

        Raises:
            NotAllowed: The token is not for this bot.
        """
        if not self.has(bot_id):
            raise NotAllowed(f"this token is not for bot {bot_id}")

    def one(self, bot_id: int | None) -> int | None:
        """Return the bot that is meant where none need be named; None: all.

        Raises:
            NotAllowed: The token is not for this bot, or is for several and none is named.
        """
        if self.bots is None:
            return bot_id
        if bot_id is None:
            if len(self.bots) != 1:
                raise NotAllowed("this token is bound to bots; name one of them as bot")
            (bot_id,) = self.bots
        self.check(bot_id)
        return bot_id


ALL = Bounds()


async def bounds_of(request: Request) -> Bounds:
    return Bounds(request.state.principal.bots)


BoundsOf = Annotated[Bounds, Depends(bounds_of)]
