"""The bots that run in this process, in memory and in step with the database.

``Registry`` holds what the database last said of each bot, ``StoredBots`` reads and writes the database and brings the
registry in step, ``BotLocks`` lets one change of a bot happen at a time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tempogram.api.core.ports import Refusal
from tempogram.bot.fleet.webhook_secrets import WebhookSecrets
from tempogram.bot.telegram.tokens import bot_id_of, is_token
from tempogram.engine.ports import Clock
from tempogram.engine.ports.changes import BotChanged, Changes
from tempogram.storage.bots import Bots, ChosenBy, RegisteredBot, Source, StoredBot

if TYPE_CHECKING:
    from aiogram import Bot
    from aiogram.types import User

    from tempogram.bot.fleet.bot_objects import BotObjects


@dataclass(frozen=True, slots=True)
class RemovedBot:
    """A bot that was removed, and whose last calls may still run with its token.

    Attributes:
        bot: Returns its ``Bot``.
        may_have_webhook: Telegram may still deliver its updates to us.
        until_ms: When its last call here has ended at the latest; None if this process completes the removal.
    """

    token: str
    bot: Callable[[], Bot]
    may_have_webhook: bool
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The behaviours of a bot, and what they come from."""

    behaviours: Mapping[str, Any]
    by: ChosenBy


class Registry:
    """The bots that run here. It keeps every token in memory, because a worker needs it for each call.

    A caller that writes to it holds the lock; see ``BotLocks``.

    Args:
        calls_end_within_ms: How long a call may be under way with a token that another process has removed.
        objects: Makes the ``Bot`` of each that is asked for; None: none will be, as this process only sends.
    """

    def __init__(
        self,
        *,
        secrets: WebhookSecrets,
        default_source: Source,
        calls_end_within_ms: int,
        clock: Clock,
        objects: BotObjects | None = None,
    ) -> None:
        self._objects = objects
        self.secrets = secrets
        self._default_source = default_source
        self._calls_end_within_ms = calls_end_within_ms
        self._clock = clock
        self._tokens: dict[int, str] = {}
        self._former: dict[int, set[str]] = {}
        self._aiogram: dict[int, Bot] = {}  # of those that were asked for
        self._registered: dict[int, RegisteredBot] = {}
        self._text_params: dict[int, dict[str, Any]] = {}
        self._unreadable: set[int] = set()
        self._removed: set[int] = set()
        self._removed_bots: dict[int, RemovedBot] = {}
        self._removal_listeners: list[Callable[[int], None]] = []
        self._watchers: list[Callable[[int], None]] = []
        self._with_behaviour: dict[str, tuple[Bot, ...]] = {}  # until the next change of any bot

    @property
    def bot_ids(self) -> list[int]:
        return list(self._tokens)

    def has(self, bot_id: int) -> bool:
        return bot_id in self._tokens

    @property
    def unreadable(self) -> AbstractSet[int]:
        """Return the bots whose stored token cannot be decrypted. One that ran before goes on with the former token."""
        return self._unreadable

    def has_token(self, token: str) -> bool:
        """Tell whether a bot runs here with exactly this token."""
        return self._tokens.get(bot_id_of(token)) == token

    def had_token(self, token: str) -> bool:
        """Tell whether a bot had this token in this process: hooks and handlers may still have that ``Bot``."""
        return token in self._former.get(bot_id_of(token), ())

    def forget_former(self, bot_id: int) -> None:
        """Take the former tokens of a bot for any others."""
        self._former.pop(bot_id, None)

    def bot(self, bot_id: int) -> Bot:
        if bot_id not in self._aiogram:
            self._aiogram[bot_id] = self._new(self._tokens[bot_id], self._registered[bot_id])
        return self._aiogram[bot_id]

    def registered(self, bot_id: int) -> RegisteredBot:
        return self._registered[bot_id]

    def has_behaviour(self, bot_id: int, behaviour: str) -> bool:
        """Tell whether a bot runs here and has a behaviour."""
        return bot_id in self._registered and behaviour in self._registered[bot_id].behaviours

    def bots_with(self, behaviour: str) -> tuple[Bot, ...]:
        """Return the bots that have a behaviour. Cost: O(bots) after a change of any bot."""
        if behaviour not in self._with_behaviour:
            chosen = [self.bot(bot_id) for bot_id in self._registered if self.has_behaviour(bot_id, behaviour)]
            self._with_behaviour[behaviour] = tuple(chosen)
        return self._with_behaviour[behaviour]

    def watch(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Notify a listener of each bot that is added, changed or removed; return a function that ends it."""
        self._watchers.append(listener)
        return lambda: self._watchers.remove(listener)

    def text_params(self, bot_id: int) -> Mapping[str, Any]:
        """See ``api.core.ports.Fleet``."""
        if bot_id not in self._registered:
            return {}  # another process has just added it
        if bot_id not in self._text_params:
            self._text_params[bot_id] = self._made_by.text_params(self.bot(bot_id))
        return self._text_params[bot_id]

    def is_verified(self, token: str) -> bool:
        """Tell whether Telegram has answered ``getMe`` for exactly this token."""
        return self.has_token(token) and bool(self._registered[bot_id_of(token)].username)

    def is_removed(self, bot_id: int) -> bool:
        return bot_id in self._removed

    def knows(self, bot_id: int) -> bool:
        """Tell whether a bot runs here, or was removed and is not forgotten yet."""
        return self.has(bot_id) or bot_id in self._removed_bots

    def removed_bot(self, bot_id: int) -> RemovedBot | None:
        """Return a removed bot whose last calls may still run."""
        removed = self._removed_bots.get(bot_id)
        if removed is not None and removed.until_ms is not None and removed.until_ms <= self._clock():
            self.forget(bot_id)
            return None
        return removed

    def token_of(self, bot_id: int) -> str | None:
        """Return a bot's token, also while the last calls of a removed bot may still run."""
        removed = self.removed_bot(bot_id)
        return self._tokens.get(bot_id) if removed is None else removed.token

    def source_of(self, bot: RegisteredBot) -> Source:
        """See ``api.core.ports.Fleet``. A bot that only a user's own ``Bot`` brought here gets no updates from us."""
        is_unsaid = bot.updates is None and not bot.username and not bot.behaviours
        if is_unsaid and bot.chosen_by in {ChosenBy.PROGRAM, ChosenBy.EARLIER}:
            return Source.NONE
        if bot.updates is Source.WEBHOOK:
            return self._default_source  # polling, if ``PUBLIC_URL`` was unset since
        return bot.updates or self._default_source

    def gets_updates(self, bot_id: int) -> bool:
        """Tell whether we get a bot's updates."""
        return bot_id in self._registered and self.source_of(self._registered[bot_id]) is not Source.NONE

    def authenticate(self, token: str) -> int | None:
        """See ``api.core.ports.Fleet``."""
        bot_id = bot_id_of(token) if is_token(token) else 0
        known = self._tokens.get(bot_id, "")
        return bot_id if hmac.compare_digest(known.encode(), token.encode()) and known else None

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """See ``api.core.ports.Fleet``."""
        self._removal_listeners.append(listener)

    def apply(self, bot_ids: Collection[int], kept: Mapping[int, StoredBot | None]) -> list[int]:
        """Set bots to what the database says; return those whose update source changed."""
        return [bot_id for bot_id in bot_ids if bot_id in kept and self._apply_one(bot_id, kept[bot_id])]

    def update(self, bot_id: int, **changes: Any) -> None:
        """Apply what was written of a bot, unless it was removed meanwhile."""
        if bot_id in self._registered:
            self._set(replace(self._registered[bot_id], **changes))
            self._notify_watchers(bot_id)

    def remove(self, bot_id: int) -> None:
        """Remove a bot; ``Removals`` forgets it once its last calls have ended."""
        if self.has(bot_id):
            self._take_out(bot_id)
        self._mark_removed(bot_id)

    def forget(self, bot_id: int) -> None:
        """Forget the token of a removed bot whose last calls have ended."""
        self._removed_bots.pop(bot_id, None)

    def _apply_one(self, bot_id: int, kept: StoredBot | None) -> bool:
        if kept is None:
            return self._remove_as_elsewhere(bot_id)
        if kept.token is None:
            self._unreadable.add(bot_id)
            return False
        before, token, webhook = self._registered.get(bot_id), self._tokens.get(bot_id), self.secrets.of(bot_id)
        self._put(kept.registered, kept.token)
        self.secrets.put(bot_id, kept.webhook)
        is_same_source = before is not None and self.source_of(before) is self.source_of(kept.registered)
        is_same_use = before is not None and before.behaviours.keys() == kept.registered.behaviours.keys()
        is_new_secret = kept.webhook.next_secret not in {None, webhook.next_secret}
        # By an operator, too: a token that is refused during such a pause ends the source, and the pause stays theirs.
        is_resumed = before is not None and before.paused_by is not None and kept.registered.paused_by is None
        return not (is_same_source and is_same_use) or token != kept.token or is_new_secret or is_resumed

    def _put(self, registered: RegisteredBot, token: str) -> None:
        bot_id = registered.bot_id
        is_unchanged = self.has_token(token) and self._registered[bot_id] == registered
        if not self.has_token(token):
            self._aiogram.pop(bot_id, None)
            if self.has(bot_id):
                self._former.setdefault(bot_id, set()).add(self._tokens[bot_id])
        self._set(registered)
        self._tokens[bot_id] = token
        self._unreadable.discard(bot_id)
        self._removed.discard(bot_id)
        self._removed_bots.pop(bot_id, None)
        if not is_unchanged:  # all bots are read again each minute
            self._notify_watchers(bot_id)

    def _set(self, registered: RegisteredBot) -> None:
        if (bot := self._aiogram.get(registered.bot_id)) is not None:
            self._made_by.set_defaults(bot, registered.defaults)
        self._registered[registered.bot_id] = registered
        self._text_params.pop(registered.bot_id, None)

    def _remove_as_elsewhere(self, bot_id: int) -> bool:
        """Remove a bot that another process removed, if it is known here."""
        is_known = self.has(bot_id)
        if is_known:
            self._take_out(bot_id, until_ms=self._clock() + self._calls_end_within_ms)
        self._mark_removed(bot_id)
        return is_known

    def _take_out(self, bot_id: int, *, until_ms: int | None = None) -> None:
        may_have_webhook = (
            self.source_of(self._registered[bot_id]) is Source.WEBHOOK
            or self.secrets.of(bot_id).fingerprint is not None
        )
        token, registered, made = self._tokens[bot_id], self._registered[bot_id], self._aiogram.get(bot_id)
        self._removed_bots[bot_id] = RemovedBot(
            token, lambda: made or self._new(token, registered), may_have_webhook, until_ms
        )
        for known in (self._tokens, self._aiogram, self._registered, self._text_params):
            known.pop(bot_id, None)
        self.secrets.forget(bot_id)
        self._notify_watchers(bot_id)

    def _new(self, token: str, registered: RegisteredBot) -> Bot:
        return self._made_by.new(token, registered.defaults)

    @property
    def _made_by(self) -> BotObjects:
        assert self._objects is not None, "a process that only sends has no aiogram"  # noqa: S101 - an invariant
        return self._objects

    def _notify_watchers(self, bot_id: int) -> None:
        self._with_behaviour.clear()
        for listener in self._watchers:
            listener(bot_id)

    def _mark_removed(self, bot_id: int) -> None:
        self._unreadable.discard(bot_id)
        self._removed.add(bot_id)
        for listener in self._removal_listeners:
            listener(bot_id)


class StoredBots:
    """Reads and writes bots in the database, and sets the registry to what the database then says."""

    def __init__(
        self,
        *,
        bots: Bots,
        registry: Registry,
        bot_locks: BotLocks,
        clock: Clock,
    ) -> None:
        self._bots = bots
        self._registry = registry
        self._bot_locks = bot_locks
        self._clock = clock

    async def read_all(self) -> list[int]:
        """Read every bot; return those whose update source changed."""
        async with self._bot_locks.lock:
            kept = await self._bots.stored()
            return self._registry.apply({*self._registry.bot_ids, *kept}, kept)

    async def read(self, bot_ids: Collection[int]) -> list[int]:
        """Read some bots again; return those whose update source changed."""
        async with self._bot_locks.lock:
            return self._registry.apply(bot_ids, await self._bots.stored(bot_ids))

    async def keep(
        self, token: str, first_time: Choice, *, me: User | None = None, behaviours: Mapping[str, Any] | None = None
    ) -> None:
        """Store a bot; without ``behaviours`` one that is stored already keeps its own."""
        async with self._bot_locks.lock:
            await self._write(token, first_time, me=me, behaviours=behaviours)

    async def name(self, token: str, me: User) -> bool:
        """Store a bot's names; return False if it has another token, or none, by now."""
        async with self._bot_locks.lock:
            if not self._registry.has_token(token):
                return False
            registered = self._registry.registered(bot_id_of(token))
            await self._write(token, Choice(registered.behaviours, registered.chosen_by), me=me)
        return True

    async def learn(self, token: str) -> None:
        """Store the token of a user's own ``Bot``.

        Raises:
            Refusal: The bot was removed. A handler that still runs must not add it again.
        """
        bot_id = bot_id_of(token)
        async with self._bot_locks.lock:
            self._registry.apply([bot_id], await self._bots.stored([bot_id]))  # it may have been removed since we read
            if self._registry.is_removed(bot_id):
                raise Refusal(f"bot {bot_id} was removed; add it again with POST /bots")
            if not self._registry.has(bot_id) and bot_id not in self._registry.unreadable:
                await self._write(token, Choice({}, ChosenBy.PROGRAM))

    async def set_behaviours(self, bot_id: int, choice: Choice) -> None:
        async with self._bot_locks.of(bot_id):
            await self._bots.set_behaviours(bot_id, choice.behaviours, chosen_by=choice.by)
            self._registry.update(bot_id, behaviours=choice.behaviours, chosen_by=choice.by)

    async def set_defaults(self, bot_id: int, defaults: Mapping[str, Any]) -> None:
        async with self._bot_locks.of(bot_id):
            await self._bots.set_defaults(bot_id, defaults)
            self._registry.update(bot_id, defaults=defaults)

    async def set_updates(self, bot_id: int, source: Source) -> None:
        async with self._bot_locks.of(bot_id):
            await self._bots.set_updates(bot_id, source)
            self._registry.update(bot_id, updates=source)

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """Remove a bot; return False if there is none."""
        async with self._bot_locks.of(bot_id):
            is_known = self._registry.has(bot_id) or bot_id in self._registry.unreadable
            if not is_known or not await self._bots.remove(bot_id, keep_messages=keep_messages):
                return False
            self._registry.remove(bot_id)
        return True

    async def _write(
        self, token: str, first_time: Choice, *, me: User | None = None, behaviours: Mapping[str, Any] | None = None
    ) -> None:
        bot_id = bot_id_of(token)
        async with self._bot_locks.announced(bot_id):
            await self._bots.add(
                bot_id,
                token,
                username=me.username or "" if me else "",
                first_name=me.first_name if me else "",
                behaviours=first_time.behaviours,
                chosen_by=first_time.by,
                now_ms=self._clock(),
            )
            if behaviours is not None:
                await self._bots.set_behaviours(bot_id, behaviours)
            self._registry.apply([bot_id], await self._bots.stored([bot_id]))


class BotLocks:
    """Lets one change of a bot happen at a time.

    The memory never is older than the last read or write of the database here: the lock is held until both agree.
    What was written is announced, so that the other processes read it again.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def of(self, bot_id: int) -> AsyncIterator[None]:
        """Lock a bot for a change, and announce the change in the end."""
        async with self.lock, self.announced(bot_id):
            yield

    @asynccontextmanager
    async def announced(self, bot_id: int) -> AsyncIterator[None]:
        """Announce in the end what a caller that holds the lock writes of a bot.

        It is announced even if the write failed: perhaps only the answer was lost.
        """
        try:
            yield
        finally:
            await self._changes.announce(BotChanged(bot_id))
