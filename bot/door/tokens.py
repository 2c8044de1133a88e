"""The bots that may use the Bot API door: those that run here, and each whose token Telegram confirms."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import Crowded, TelegramUnreachable, UnknownToken
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.telegram.tokens import bot_id_of, is_token
from tempogram.engine.ports import Clock

NEW_TOKENS = ((10, 60_000), (300, 3_600_000))
"""Tokens per milliseconds: half of what Telegram takes (see ``token_rate_limit``), so that requests with any tokens do
not keep ``POST /bots`` from adding one."""

ASKED_MAX = 10
"""Tokens that Telegram is asked about at once. untuned: only a new one needs it."""

REFUSED_MS = 60_000
REFUSED_MAX = 1_000
"""How long, and how many, refused tokens are remembered. untuned: a client with a wrong token tries on and on, and one
that is refused now may be a new bot's."""

LATER_S = 60
"""When another new token is taken at the latest, if not too many come."""


class Tokens:
    """See ``api.core.ports.DoorTokens``. Of tokens that are not stored it keeps hashes only.

    Args:
        fleet: The bots that run here.
        rate_limit: How many new tokens Telegram is asked about for this door, besides the fleet's own limit.
        clock: For how long a refusal is remembered.
    """

    def __init__(self, fleet: Fleet, *, rate_limit: TokenRateLimit, clock: Clock) -> None:
        self._fleet = fleet
        self._rate_limit = rate_limit
        self._clock = clock
        self._asked: dict[bytes, asyncio.Task[int]] = {}
        self._refused_until_ms: dict[bytes, int] = {}

    async def bot_of(self, token: str) -> int:
        """See ``DoorTokens``."""
        bot_id = self._fleet.authenticate(token)
        if bot_id is not None:
            return bot_id
        if not is_token(token):
            raise NotFound("Not Found")
        digest = sha256(token.encode()).digest()
        if self._refused_until_ms.get(digest, 0) > self._clock():
            raise UnknownToken(f"Telegram does not know the token of bot {bot_id_of(token)}")
        # Shielded: others may wait for the same answer.
        return await asyncio.shield(self._asking(token, digest))

    def _asking(self, token: str, digest: bytes) -> asyncio.Task[int]:
        if digest not in self._asked:
            if len(self._asked) >= ASKED_MAX:
                raise Crowded("Telegram is asked about other new bots just now")
            task = self._asked[digest] = asyncio.create_task(self._ask(token, digest))
            task.add_done_callback(lambda _: self._forget_asked(digest))
        return self._asked[digest]

    def _forget_asked(self, digest: bytes) -> None:
        task = self._asked.pop(digest)
        if not task.cancelled():
            task.exception()  # each caller that still waits has it

    async def _ask(self, token: str, digest: bytes) -> int:
        if not await self._rate_limit.wait_for_slot(token, within_s=0):
            raise Crowded("too many new bots came lately", retry_after_s=LATER_S)
        try:
            await self._fleet.get_me.wait_for_slot(token, within_s=0)
        except TelegramUnreachable as error:
            raise Crowded(str(error), retry_after_s=LATER_S) from None
        try:
            me = await self._fleet.get_me.ask(token)
        except UnknownToken:
            self._remember_refused(digest)
            raise
        await self._fleet.learn_verified(token)
        return me.id

    def _remember_refused(self, digest: bytes) -> None:
        self._refused_until_ms.pop(digest, None)
        if len(self._refused_until_ms) >= REFUSED_MAX:
            del self._refused_until_ms[next(iter(self._refused_until_ms))]
        self._refused_until_ms[digest] = self._clock() + REFUSED_MS
