"""Adds, changes and removes the bots that run here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import structlog
from aiogram.client.session.base import BaseSession
from aiogram.types import User

from tempogram.api.core.ports import NoWebhook, Refusal, TelegramUnreachable, UnknownToken
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.fleet.bot_objects import BotObjects, Defaults
from tempogram.bot.fleet.fleet_reader import FleetReader
from tempogram.bot.fleet.get_me import GetMe
from tempogram.bot.fleet.registry import Choice
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.fleet.webhook_secrets import Rereads
from tempogram.bot.telegram.tokens import LOOKS_LIKE, bot_id_of, is_token
from tempogram.engine.ports import Clock
from tempogram.engine.ports.changes import Changes
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep
from tempogram.storage.bots import Bots, ChosenBy, RegisteredBot, Source

log = structlog.get_logger()

PATIENCE_S = 30.0
"""How long adding a bot may wait for its slot at Telegram: shorter than the usual proxy timeout, 60 s."""

CONFIRM_S = 5.0
"""How long a call waits for Telegram to confirm another token of its bot. untuned."""

REFUSED_MS, SILENT_MS = 60_000, 5_000
UNCONFIRMED_MAX = 1_000
"""When Telegram is asked again about a token that it refused, or did not answer for; and how many are remembered.
untuned: a program with a wrong token, or a sender of made-up ones, tries on and on."""


class Fleet(FleetReader):
    """See ``api.core.ports.Fleet``."""

    def __init__(
        self,
        *,
        bots: Bots,
        session: BaseSession,
        behaviours: Behaviours,
        defaults: Defaults,
        default_source: Source,
        token_rate_limit: TokenRateLimit,
        changes: Changes,
        calls_end_within_ms: int,
        conditions: Conditions,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(
            bots=bots,
            default_source=default_source,
            changes=changes,
            calls_end_within_ms=calls_end_within_ms,
            clock=clock,
            conditions=conditions,
            objects=BotObjects(session, defaults),
        )
        self.get_me = GetMe(session=session, token_rate_limit=token_rate_limit)
        self._behaviours = behaviours
        self._default_source = default_source
        self._conditions = conditions
        self._sleep = sleep
        self._token_stored: Callable[[int], Awaitable[None]] | None = None
        self._clock = clock
        self._confirming = asyncio.Lock()
        self._unconfirmed: dict[str, tuple[int, str]] = {}  # until when, and why
        self._rereads = Rereads(lambda bot_id: self.reload([bot_id]), clock)

    def when_token_stored(self, listener: Callable[[int], Awaitable[None]]) -> None:
        """Notify one listener of each bot that is new here, or whose token Telegram confirmed, once it is stored."""
        self._token_stored = listener

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """See ``Fleet``."""
        self.registry.when_removed(listener)

    def source_of(self, bot: RegisteredBot) -> Source:
        """See ``Fleet``."""
        return self.registry.source_of(bot)

    def text_params(self, bot_id: int) -> Mapping[str, Any]:
        """See ``Fleet``."""
        return self.registry.text_params(bot_id)

    def authenticate(self, token: str) -> int | None:
        """See ``Fleet``."""
        return self.registry.authenticate(token)

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        """See ``Fleet``."""
        return self.secrets.accepted(bot_id)

    async def reread_secrets(self, bot_id: int) -> None:
        """See ``Fleet``."""
        await self._rereads.of(bot_id)

    async def rotate_secret(self, bot_id: int) -> bool:
        """See ``Fleet``."""
        if not self.registry.has(bot_id):
            return False
        if self.registry.source_of(self.registry.registered(bot_id)) is not Source.WEBHOOK:
            raise NoWebhook(f'bot {bot_id} has no webhook, so it has no secret; PATCH it with "updates": "webhook"')
        if self.secrets.of(bot_id).next_secret is not None:
            return True  # a new one is being registered already
        if not await self.secrets.rotate(bot_id):
            return False
        self._notify_changed(bot_id)
        return True

    async def add(
        self,
        token: str,
        behaviours: Mapping[str, Any] | None,
        *,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> int:
        """See ``Fleet``. It waits at most ``patience_s`` until Telegram takes another new token."""
        if not is_token(token):
            raise Refusal(f"this is not a bot token; {LOOKS_LIKE}")
        of_a_new_one = self._behaviours.of_an_added_bot
        self._check(of_a_new_one if behaviours is None and self._is_new(token) else behaviours, updates)
        me = await self._verified(token, patience_s=patience_s)
        await self._stored_bots.keep(token, Choice(of_a_new_one, ChosenBy.OWNER), me=me, behaviours=behaviours)
        await self._notify_token_stored(me.id)
        if updates is not None:
            await self._stored_bots.set_updates(me.id, updates)
        if defaults is not None:
            await self._stored_bots.set_defaults(me.id, defaults)
        self._notify_changed(me.id)
        return me.id

    async def add_of_settings(self, token: str) -> int:
        """Run a bot of ``BOT_TOKENS``, if Telegram answers at once; raises as ``add`` does."""
        me = await self._verified(token, patience_s=0)
        await self._stored_bots.keep(token, self._of_settings, me=me)
        await self._notify_token_stored(me.id)
        self._notify_changed(me.id)
        return me.id

    async def add_unverified(self, token: str) -> int:
        """Run a bot of ``BOT_TOKENS`` for which Telegram has not answered ``getMe``."""
        bot_id = bot_id_of(token)
        if not self.registry.has(bot_id):
            await self._stored_bots.keep(token, self._of_settings)
            await self._notify_token_stored(bot_id)
        return bot_id

    async def follow_settings(self, bot_id: int) -> None:
        """Give a bot of ``BOT_TOKENS`` the modules of ``BEHAVIOURS``, unless its owner has chosen others."""
        registered, wanted = self.registry.registered(bot_id), self._of_settings
        chosen = Choice(registered.behaviours, registered.chosen_by)
        if chosen.by in {ChosenBy.SETTINGS, ChosenBy.PROGRAM} and chosen != wanted:
            await self._stored_bots.set_behaviours(bot_id, wanted)
            self._notify_changed(bot_id)

    @property
    def _of_settings(self) -> Choice:
        return Choice(self._behaviours.of_settings, ChosenBy.SETTINGS)

    def _is_new(self, token: str) -> bool:
        """Tell whether no behaviours were chosen for a bot yet."""
        bot_id = bot_id_of(token)
        return not self.registry.has(bot_id) or self.registry.registered(bot_id).chosen_by is ChosenBy.PROGRAM

    async def _verified(self, token: str, *, patience_s: float) -> User:
        if not self.registry.is_verified(token):
            await self.get_me.wait_for_slot(token, within_s=patience_s)
        return await self.get_me.ask(token)

    async def verify(self, bot_id: int) -> None:
        """Call ``getMe`` once for a bot that was added unverified."""
        token = self.registry.bot(bot_id).token
        if self.registry.is_verified(token):
            return
        await self.get_me.wait_for_slot(token)
        try:
            me = await self.get_me.ask(token)
        except UnknownToken as error:
            log.warning("bot_not_verified", bot_id=bot_id, reason=str(error))
        except TelegramUnreachable as error:  # its update source says so, once for all bots
            log.debug("bot_not_asked_for", bot_id=bot_id, reason=str(error))
        else:
            await retry_ledger(lambda: self._store_names(token, me), conditions=self._conditions, sleep=self._sleep)

    async def _store_names(self, token: str, me: User) -> None:
        if await self._stored_bots.name(token, me):
            await self._notify_token_stored(me.id)

    async def learn(self, token: str) -> None:
        """See ``session.TokenStore``. A known bot gets another token only if Telegram confirms it.

        Raises:
            Refusal: The bot was removed: a handler that still runs must not add it again. Or Telegram does not confirm
                another token of it: nothing is sent by the stored one for a caller that need not have it.
        """
        if self.registry.has_token(token):
            return
        await self._learn_new(token)
        if not self.registry.has_token(token) and not self.registry.had_token(token):
            async with self._confirming:
                await self._confirm(token)

    async def _learn_new(self, token: str) -> None:
        if not self.registry.has(bot_id_of(token)):
            await self._stored_bots.learn(token)

    async def _confirm(self, token: str) -> None:
        bot_id = bot_id_of(token)
        until_ms, reason = self._unconfirmed.get(token, (0, ""))
        if until_ms > self._clock():
            raise Refusal(reason)
        await self.reload([bot_id])  # another process may have stored it
        if self.registry.has_token(token):
            return
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._verified(token, patience_s=0)
        except UnknownToken as error:
            raise self._unconfirmed_token(token, str(error), for_ms=REFUSED_MS) from None
        except (TelegramUnreachable, TimeoutError):
            reason = f"Telegram has not confirmed another token of bot {bot_id} yet; try again"
            raise self._unconfirmed_token(token, reason, for_ms=SILENT_MS) from None
        await self.learn_verified(token)
        self.registry.forget_former(bot_id)  # of a program's own ``Bot``: it may have leaked, and stands in no hook

    def _unconfirmed_token(self, token: str, reason: str, *, for_ms: int) -> Refusal:
        self._unconfirmed.pop(token, None)
        if len(self._unconfirmed) >= UNCONFIRMED_MAX:
            del self._unconfirmed[next(iter(self._unconfirmed))]
        self._unconfirmed[token] = self._clock() + for_ms, reason
        return Refusal(reason)

    async def learn_verified(self, token: str) -> None:
        """Store a token that Telegram has just confirmed: of a bot that only sends here, or a new one of any bot.

        Raises:
            Refusal: The bot was removed.
        """
        bot_id = bot_id_of(token)
        await self._learn_new(token)
        if not self.registry.has_token(token):
            await self._stored_bots.keep(token, Choice({}, ChosenBy.PROGRAM))
            self._notify_changed(bot_id)
        await self._notify_token_stored(bot_id)

    async def change(
        self,
        bot_id: int,
        *,
        behaviours: Mapping[str, Any] | None = None,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """See ``Fleet``."""
        self._check(behaviours, updates)
        is_heard_otherwise = updates is not None
        if behaviours is not None:
            is_heard_otherwise |= not self.registry.has(bot_id) or self._names(bot_id) != behaviours.keys()
            await self._stored_bots.set_behaviours(bot_id, Choice(behaviours, ChosenBy.OWNER))
        if updates is not None:
            await self._stored_bots.set_updates(bot_id, updates)
        if defaults is not None:
            await self._stored_bots.set_defaults(bot_id, defaults)
        if is_heard_otherwise:
            self._notify_changed(bot_id)

    def _names(self, bot_id: int) -> Collection[str]:
        return self.registry.registered(bot_id).behaviours.keys()

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """See ``Fleet``."""
        if not await self._stored_bots.remove(bot_id, keep_messages=keep_messages):
            return False
        self._report_unreadable()
        self._notify_changed(bot_id)
        return True

    def _check(self, behaviours: Mapping[str, Any] | None, updates: Source | None) -> None:
        if behaviours is not None:
            self._behaviours.check(behaviours)
        if updates is Source.WEBHOOK and self._default_source is not Source.WEBHOOK:
            raise Refusal(
                "updates by webhook need PUBLIC_URL, the address at which Telegram reaches this server; "
                'set it and restart, or use "polling"'
            )

    async def _notify_token_stored(self, bot_id: int) -> None:
        self._report_unreadable()
        if self._token_stored is not None:
            await self._token_stored(bot_id)
