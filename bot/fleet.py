"""The bots that run here: who they are, their tokens, and what each does."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import User

from api.ports import Refusal, TelegramUnreachable, UnknownToken
from bot.tokens import LOOKS_LIKE, bot_id_of, is_token
from engine.ports import Clock
from storage.bots import Bots, RegisteredBot

log = structlog.get_logger()

Check = Callable[[Mapping[str, Any]], None]


class Fleet:
    """See ``api.ports.Fleet``. Keeps every token in memory: a worker needs it for each call."""

    def __init__(
        self,
        *,
        bots: Bots,
        session: BaseSession,
        check_behaviours: Check,
        default_behaviours: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self._bots = bots
        self._session = session
        self._check_behaviours = check_behaviours
        self._default_behaviours = default_behaviours
        self._clock = clock
        self._tokens: dict[int, str] = {}
        self._secrets: dict[int, str] = {}
        self._aiogram: dict[int, Bot] = {}
        self._registered: dict[int, RegisteredBot] = {}
        self._added: Callable[[int], None] | None = None
        self._proved: Callable[[int], Awaitable[None]] | None = None

    async def load(self) -> None:
        """Read the bots that were added before."""
        self._tokens = await self._bots.tokens()
        self._secrets = await self._bots.webhook_secrets()
        self._registered = {each.bot_id: each for each in await self._bots.all()}
        self._aiogram = {bot_id: self._new_bot(token) for bot_id, token in self._tokens.items()}

    def when_added(self, listener: Callable[[int], None] | None) -> None:
        """Tell one listener about each bot that is added from now on, or gets another token."""
        self._added = listener

    def when_proved(self, listener: Callable[[int], Awaitable[None]]) -> None:
        """Tell one listener about each bot whose token Telegram knows, once it is kept."""
        self._proved = listener

    @property
    def bot_ids(self) -> list[int]:
        return list(self._tokens)

    def bot(self, bot_id: int) -> Bot:
        return self._aiogram[bot_id]

    def is_learned(self, bot_id: int) -> bool:
        """Tell whether only a user's own ``Bot`` brought it here, who gets its updates in his own way."""
        registered = self._registered[bot_id]
        return not registered.username and not registered.behaviours

    def registered(self, bot_id: int) -> RegisteredBot:
        return self._registered[bot_id]

    def token_of(self, bot_id: int) -> str | None:
        return self._tokens.get(bot_id)

    def authenticate(self, token: str) -> int | None:
        """See ``Fleet``."""
        bot_id = bot_id_of(token) if is_token(token) else 0
        known = self._tokens.get(bot_id, "")
        return bot_id if hmac.compare_digest(known.encode(), token.encode()) and known else None

    def webhook_secret(self, bot_id: int) -> str | None:
        """See ``Fleet``."""
        return self._secrets.get(bot_id)

    async def set_webhook_secret(self, bot_id: int, secret: str) -> None:
        """Demand this secret of every webhook call from now on."""
        await self._bots.set_webhook_secret(bot_id, secret)
        self._secrets[bot_id] = secret

    async def add(self, token: str, behaviours: Mapping[str, Any] | None) -> int:
        """See ``Fleet``."""
        if not is_token(token):
            raise Refusal(f"this is no bot token; {LOOKS_LIKE}")
        if behaviours is not None:
            self._check_behaviours(behaviours)
        me = await self._ask(token)
        await self._keep(token, username=me.username or "", first_name=me.first_name, behaviours=behaviours)
        if self._proved is not None:
            await self._proved(me.id)
        if self._added is not None:
            self._added(me.id)
        return me.id

    async def add_unasked(self, token: str) -> int:
        """Run a bot whose token the environment names, though Telegram cannot be asked who it is."""
        bot_id = bot_id_of(token)
        if bot_id not in self._tokens:
            await self._keep(token, username="", first_name="", behaviours=None)
        return bot_id

    async def learn(self, token: str) -> None:
        """See ``session.TokenBook``: a user's own ``Bot`` is known from its first call on."""
        if bot_id_of(token) not in self._tokens:
            await self._keep(token, username="", first_name="", behaviours={})

    async def change(self, bot_id: int, *, behaviours: Mapping[str, Any] | None) -> None:
        """See ``Fleet``."""
        if behaviours is not None:
            self._check_behaviours(behaviours)
            await self._bots.set_behaviours(bot_id, behaviours)
            self._registered[bot_id] = replace(self._registered[bot_id], behaviours=behaviours)

    async def _keep(self, token: str, *, username: str, first_name: str, behaviours: Mapping[str, Any] | None) -> None:
        bot_id = bot_id_of(token)
        given = self._default_behaviours if behaviours is None else behaviours
        await self._bots.add(
            bot_id, token, username=username, first_name=first_name, behaviours=given, now_ms=self._clock()
        )
        if behaviours is not None:
            await self._bots.set_behaviours(bot_id, behaviours)
        registered = await self._bots.get(bot_id)
        assert registered is not None, "it was added just now"  # noqa: S101 - an invariant
        self._registered[bot_id] = registered
        self._tokens[bot_id] = token
        self._aiogram[bot_id] = self._new_bot(token)

    def _new_bot(self, token: str) -> Bot:
        return Bot(token, session=self._session, default=DefaultBotProperties())

    async def _ask(self, token: str) -> User:
        try:
            return await self._new_bot(token).get_me()
        except (TelegramUnauthorizedError, TelegramNotFound):
            raise UnknownToken(
                f"Telegram does not know the token of bot {bot_id_of(token)}; @BotFather has the valid one"
            ) from None
        except (TelegramAPIError, ClientDecodeError) as error:
            raise TelegramUnreachable(
                f"Telegram could not be asked about bot {bot_id_of(token)} ({type(error).__name__}); try again"
            ) from None
