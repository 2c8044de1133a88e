"""The bots that run here: who they are, their tokens, and what each does."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import User

from api.ports import NoWebhook, Refusal, TelegramUnreachable, UnknownToken
from bot.newcomers import Newcomers
from bot.tokens import LOOKS_LIKE, bot_id_of, is_token
from bot.webhook_secrets import WebhookSecrets
from engine.insist import Sleep, insist
from engine.ports import Clock
from engine.ports.news import BotChanged, News
from storage.bots import Bots, KeptBot, RegisteredBot, Source

log = structlog.get_logger()

Check = Callable[[Mapping[str, Any]], None]

PATIENCE_S = 30.0
"""How long adding a bot may wait for its turn at Telegram: shorter than the patience of the usual proxy, 60 s."""


@dataclass(frozen=True, slots=True)
class Parting:
    """A bot that was removed, and whether Telegram may still deliver its updates to us.

    ``until_ms``: when its last call here has ended at the latest, if another process sees it off.
    """

    bot: Bot
    is_hooked: bool
    until_ms: int | None = None


class Fleet:
    """See ``api.ports.Fleet``. Keeps every token in memory: a worker needs it for each call.

    What is in memory is what the books said at one moment, or later: whoever reads them or writes to them here keeps
    everybody else out until it is in memory, too. What was written is announced, so that the other processes read it.

    Args:
        calls_end_within_ms: How long a call may be under way with a token that another process has removed.
    """

    def __init__(
        self,
        *,
        bots: Bots,
        session: BaseSession,
        check_behaviours: Check,
        default_behaviours: Mapping[str, Any],
        default_source: Source,
        newcomers: Newcomers,
        news: News,
        calls_end_within_ms: int,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._bots = bots
        self._session = session
        self._check_behaviours = check_behaviours
        self._default_behaviours = default_behaviours
        self._default_source = default_source
        self._newcomers = newcomers
        self._news = news
        self._calls_end_within_ms = calls_end_within_ms
        self._clock = clock
        self._sleep = sleep
        self._tokens: dict[int, str] = {}
        self._aiogram: dict[int, Bot] = {}
        self._registered: dict[int, RegisteredBot] = {}
        self._removed: set[int] = set()
        self._parting: dict[int, Parting] = {}
        self._changed: Callable[[int], None] | None = None
        self._forgetful: list[Callable[[int], None]] = []
        self._turn = asyncio.Lock()
        self.secrets = WebhookSecrets(bots, self._changing)
        self._proved: Callable[[int], Awaitable[None]] | None = None

    async def load(self) -> None:
        """Read every bot, as it is now; whoever wants to know is told what that changed.

        Raises:
            LedgerError: Nothing was read.
            SettingsError: They were stored under another ``SECRET_KEY``.
        """
        async with self._turn:
            kept = await self._bots.kept()
            fed_otherwise = self._take({*self._tokens, *kept}, kept)
        self._tell(*fed_otherwise)

    async def reload(self, bot_ids: Collection[int]) -> None:
        """Read some bots again, which another process changed; as ``load`` does."""
        async with self._turn:
            fed_otherwise = self._take(bot_ids, await self._bots.kept(bot_ids))
        self._tell(*fed_otherwise)

    def when_changed(self, listener: Callable[[int], None] | None) -> None:
        """Tell one listener about each bot that from now on is added or removed, or shall be fed otherwise."""
        self._changed = listener

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """See ``Fleet``."""
        self._forgetful.append(listener)

    def when_proved(self, listener: Callable[[int], Awaitable[None]]) -> None:
        """Tell one listener about each bot that is new here, or whose token Telegram knows, once it is kept."""
        self._proved = listener

    @property
    def bot_ids(self) -> list[int]:
        return list(self._tokens)

    def has(self, bot_id: int) -> bool:
        return bot_id in self._tokens

    def bot(self, bot_id: int) -> Bot:
        return self._aiogram[bot_id]

    def parting(self, bot_id: int) -> Parting | None:
        """Return a bot that was removed, while its last calls are under way."""
        leaving = self._parting.get(bot_id)
        if leaving is not None and leaving.until_ms is not None and leaving.until_ms <= self._clock():
            self.forget(bot_id)
            return None
        return leaving

    def source_of(self, bot: RegisteredBot) -> Source:
        """See ``Fleet``. One that only a user's own ``Bot`` brought here gets its updates in his own way."""
        if bot.updates is None and not bot.username and not bot.behaviours:
            return Source.NONE
        if bot.updates is Source.WEBHOOK:
            return self._default_source  # polling, if ``PUBLIC_URL`` was taken away since
        return bot.updates or self._default_source

    def hears(self, bot_id: int) -> bool:
        """Tell whether a bot's updates come here."""
        return bot_id in self._registered and self.source_of(self._registered[bot_id]) is not Source.NONE

    def registered(self, bot_id: int) -> RegisteredBot:
        return self._registered[bot_id]

    def token_of(self, bot_id: int) -> str | None:
        """Return a bot's token; also of one that was removed, while its last calls are under way."""
        leaving = self.parting(bot_id)
        return self._tokens.get(bot_id) if leaving is None else leaving.bot.token

    async def token_in_books(self, bot_id: int) -> str | None:
        """Return a bot's token as ``token_of`` does, after another look: nobody may have heard yet of a new one."""
        await self.reload([bot_id])
        return self.token_of(bot_id)

    def is_introduced(self, token: str) -> bool:
        """Tell whether Telegram has been asked about exactly this token before."""
        bot_id = bot_id_of(token)
        return self._tokens.get(bot_id) == token and bool(self._registered[bot_id].username)

    def authenticate(self, token: str) -> int | None:
        """See ``Fleet``."""
        bot_id = bot_id_of(token) if is_token(token) else 0
        known = self._tokens.get(bot_id, "")
        return bot_id if hmac.compare_digest(known.encode(), token.encode()) and known else None

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        """See ``Fleet``."""
        return self.secrets.accepted(bot_id)

    async def rotate_secret(self, bot_id: int) -> bool:
        """See ``Fleet``."""
        if not self.has(bot_id):
            return False
        if self.source_of(self._registered[bot_id]) is not Source.WEBHOOK:
            raise NoWebhook(f'bot {bot_id} has no webhook, so there is no secret; PATCH it with "updates": "webhook"')
        if self.secrets.of(bot_id).next_secret is not None:
            return True  # one that is as new is on its way
        if not await self.secrets.rotate(bot_id):
            return False
        self._tell(bot_id)
        return True

    async def add(
        self,
        token: str,
        behaviours: Mapping[str, Any] | None,
        *,
        updates: Source | None = None,
        patience_s: float = PATIENCE_S,
    ) -> int:
        """See ``Fleet``. ``patience_s`` is how long it may wait until Telegram takes another new token."""
        if not is_token(token):
            raise Refusal(f"this is no bot token; {LOOKS_LIKE}")
        self._check(behaviours, updates)
        if not self.is_introduced(token) and not await self._newcomers.turn(token, within_s=patience_s):
            raise TelegramUnreachable(
                f"Telegram takes only so many new bots at a time from one address; add bot {bot_id_of(token)} later"
            )
        me = await self._ask(token)
        await self._keep(token, username=me.username or "", first_name=me.first_name, behaviours=behaviours)
        await self._prove(me.id)
        if updates is not None:
            await self._set_updates(me.id, updates)
        self._tell(me.id)
        return me.id

    async def add_unasked(self, token: str) -> int:
        """Run a bot whose token the environment names, though Telegram cannot be asked who it is."""
        bot_id = bot_id_of(token)
        if bot_id not in self._tokens:
            await self._keep(token, username="", first_name="", behaviours=None)
            await self._prove(bot_id)
        return bot_id

    async def _prove(self, bot_id: int) -> None:
        if self._proved is not None:
            await self._proved(bot_id)

    async def introduce(self, bot_id: int) -> None:
        """Ask once about a bot that was added unasked, when its turn has come."""
        token = self._tokens[bot_id]
        if self.is_introduced(token):
            return
        await self._newcomers.turn(token)
        try:
            me = await self._ask(token)
        except (UnknownToken, TelegramUnreachable) as error:
            log.warning("bot not introduced", bot_id=bot_id, reason=str(error))
        else:
            await insist(lambda: self._name(token, me), sleep=self._sleep)

    async def _name(self, token: str, me: User) -> None:
        """Write what Telegram calls a bot, unless it has another token, or none, by now."""
        async with self._turn:
            if self._tokens.get(me.id) != token:
                return
            await self._write(token, username=me.username or "", first_name=me.first_name, behaviours=None)
        await self._prove(me.id)

    async def learn(self, token: str) -> None:
        """See ``session.TokenBook``: a user's own ``Bot`` is known from its first call on.

        Raises:
            Refusal: The bot was removed. A handler that still runs must not bring it back.
        """
        bot_id = bot_id_of(token)
        if bot_id in self._tokens:
            return
        async with self._turn:
            self._take([bot_id], await self._bots.kept([bot_id]))  # somebody may have removed it since we read
            if bot_id in self._removed:
                raise Refusal(f"bot {bot_id} was removed; add it again with POST /bots")
            if bot_id not in self._tokens:
                await self._write(token, username="", first_name="", behaviours={})

    async def change(
        self, bot_id: int, *, behaviours: Mapping[str, Any] | None = None, updates: Source | None = None
    ) -> None:
        """See ``Fleet``."""
        self._check(behaviours, updates)
        if behaviours is not None:
            async with self._changing(bot_id):
                await self._bots.set_behaviours(bot_id, behaviours)
                self._note(bot_id, behaviours=behaviours)
        if updates is not None:
            await self._set_updates(bot_id, updates)
            self._tell(bot_id)

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """See ``Fleet``."""
        async with self._changing(bot_id):
            if not self.has(bot_id) or not await self._bots.remove(bot_id, keep_messages=keep_messages):
                return False
            self._part_with(bot_id)
            self._note_removed(bot_id)
        self._tell(bot_id)
        return True

    def _take(self, bot_ids: Collection[int], kept: Mapping[int, KeptBot | None]) -> list[int]:
        """Let bots be what the books say; return those that are to be fed otherwise."""
        return [bot_id for bot_id in bot_ids if bot_id in kept and self._take_one(bot_id, kept[bot_id])]

    def _take_one(self, bot_id: int, kept: KeptBot | None) -> bool:
        if kept is None:
            return self._leave(bot_id)
        before, token, told = self._registered.get(bot_id), self._tokens.get(bot_id), self.secrets.of(bot_id)
        self._put(kept.registered, kept.token)
        self.secrets.put(bot_id, kept.webhook)
        was_fed_so = before is not None and self.source_of(before) is self.source_of(kept.registered)
        is_new_secret = kept.webhook.next_secret not in {None, told.next_secret}
        return not was_fed_so or token != kept.token or is_new_secret

    def _leave(self, bot_id: int) -> bool:
        """Part with a bot that another process removed, if it is known here."""
        is_known = self.has(bot_id)
        if is_known:
            self._part_with(bot_id, until_ms=self._clock() + self._calls_end_within_ms)
        self._note_removed(bot_id)
        return is_known

    def _note_removed(self, bot_id: int) -> None:
        self._removed.add(bot_id)
        for listener in self._forgetful:
            listener(bot_id)

    def _put(self, registered: RegisteredBot, token: str) -> None:
        bot_id = registered.bot_id
        if self._tokens.get(bot_id) != token:
            self._aiogram[bot_id] = self._new_bot(token)
        self._registered[bot_id] = registered
        self._tokens[bot_id] = token
        self._removed.discard(bot_id)
        self._parting.pop(bot_id, None)

    @asynccontextmanager
    async def _changing(self, bot_id: int) -> AsyncIterator[None]:
        """Let the books and what is here of a bot change together; then the others hear of it.

        Also if the books refused: perhaps only their answer was lost.
        """
        async with self._turn:
            try:
                yield
            finally:
                await self._news.announce(BotChanged(bot_id))

    def _part_with(self, bot_id: int, *, until_ms: int | None = None) -> None:
        is_hooked = (
            self.source_of(self._registered[bot_id]) is Source.WEBHOOK or self.secrets.of(bot_id).told is not None
        )
        self._parting[bot_id] = Parting(self._aiogram[bot_id], is_hooked, until_ms)
        for known in (self._tokens, self._aiogram, self._registered):
            known.pop(bot_id, None)
        self.secrets.forget(bot_id)

    def forget(self, bot_id: int) -> None:
        """Forget the token of a bot that was removed: its last calls have ended."""
        self._parting.pop(bot_id, None)

    def is_removed(self, bot_id: int) -> bool:
        return bot_id in self._removed

    def _check(self, behaviours: Mapping[str, Any] | None, updates: Source | None) -> None:
        if behaviours is not None:
            self._check_behaviours(behaviours)
        if updates is Source.WEBHOOK and self._default_source is not Source.WEBHOOK:
            raise Refusal(
                "updates by webhook need PUBLIC_URL, the address at which Telegram reaches this server; "
                'set it and start again, or say "polling"'
            )

    def _tell(self, *bot_ids: int) -> None:
        for bot_id in bot_ids:
            if self._changed is not None and (self.has(bot_id) or bot_id in self._parting):
                self._changed(bot_id)

    async def _set_updates(self, bot_id: int, source: Source) -> None:
        async with self._changing(bot_id):
            await self._bots.set_updates(bot_id, source)
            self._note(bot_id, updates=source)

    def _note(self, bot_id: int, **changes: Any) -> None:
        """Let the fleet know what was written, unless the bot was removed meanwhile."""
        if bot_id in self._registered:
            self._registered[bot_id] = replace(self._registered[bot_id], **changes)

    async def _keep(self, token: str, *, username: str, first_name: str, behaviours: Mapping[str, Any] | None) -> None:
        async with self._turn:
            await self._write(token, username=username, first_name=first_name, behaviours=behaviours)

    async def _write(self, token: str, *, username: str, first_name: str, behaviours: Mapping[str, Any] | None) -> None:
        bot_id = bot_id_of(token)
        given = self._default_behaviours if behaviours is None else behaviours
        try:
            await self._bots.add(
                bot_id, token, username=username, first_name=first_name, behaviours=given, now_ms=self._clock()
            )
            if behaviours is not None:
                await self._bots.set_behaviours(bot_id, behaviours)
            self._take([bot_id], await self._bots.kept([bot_id]))
        finally:
            await self._news.announce(BotChanged(bot_id))

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
