"""Who runs here: what the books said last of every bot, in memory."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiogram import Bot
from aiogram.client.session.base import BaseSession

from tempogram.bot.fleet.get_me import aiogram_bot
from tempogram.bot.fleet.webhook_secrets import WebhookSecrets
from tempogram.bot.telegram.tokens import bot_id_of, is_token
from tempogram.engine.ports import Clock
from tempogram.storage.bots import RegisteredBot, Source, StoredBot


@dataclass(frozen=True, slots=True)
class Parting:
    """A bot that was removed, and whether Telegram may still deliver its updates to us.

    ``until_ms``: when its last call here has ended at the latest, if another process sees it off.
    """

    bot: Bot
    is_hooked: bool
    until_ms: int | None = None


class Registry:
    """The bots that run here. Keeps every token in memory: a worker needs it for each call.

    Whoever writes to it has the turn; see ``BotLocks``.

    Args:
        calls_end_within_ms: How long a call may be under way with a token that another process has removed.
    """

    def __init__(
        self,
        *,
        session: BaseSession,
        secrets: WebhookSecrets,
        default_source: Source,
        calls_end_within_ms: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self.secrets = secrets
        self._default_source = default_source
        self._calls_end_within_ms = calls_end_within_ms
        self._clock = clock
        self._tokens: dict[int, str] = {}
        self._aiogram: dict[int, Bot] = {}
        self._registered: dict[int, RegisteredBot] = {}
        self._removed: set[int] = set()
        self._parting: dict[int, Parting] = {}
        self._forgetful: list[Callable[[int], None]] = []

    @property
    def bot_ids(self) -> list[int]:
        return list(self._tokens)

    def has(self, bot_id: int) -> bool:
        return bot_id in self._tokens

    def has_token(self, token: str) -> bool:
        """Tell whether a bot runs here with exactly this token."""
        return self._tokens.get(bot_id_of(token)) == token

    def bot(self, bot_id: int) -> Bot:
        return self._aiogram[bot_id]

    def registered(self, bot_id: int) -> RegisteredBot:
        return self._registered[bot_id]

    def is_introduced(self, token: str) -> bool:
        """Tell whether Telegram has been asked about exactly this token before."""
        return self.has_token(token) and bool(self._registered[bot_id_of(token)].username)

    def is_removed(self, bot_id: int) -> bool:
        return bot_id in self._removed

    def knows(self, bot_id: int) -> bool:
        """Tell whether a bot runs here, or has left and was not forgotten yet."""
        return self.has(bot_id) or bot_id in self._parting

    def parting(self, bot_id: int) -> Parting | None:
        """Return a bot that was removed, while its last calls are under way."""
        leaving = self._parting.get(bot_id)
        if leaving is not None and leaving.until_ms is not None and leaving.until_ms <= self._clock():
            self.forget(bot_id)
            return None
        return leaving

    def token_of(self, bot_id: int) -> str | None:
        """Return a bot's token; also of one that was removed, while its last calls are under way."""
        leaving = self.parting(bot_id)
        return self._tokens.get(bot_id) if leaving is None else leaving.bot.token

    def source_of(self, bot: RegisteredBot) -> Source:
        """See ``api.ports.Fleet``. One that only a user's own ``Bot`` brought here gets its updates in his own way."""
        if bot.updates is None and not bot.username and not bot.behaviours:
            return Source.NONE
        if bot.updates is Source.WEBHOOK:
            return self._default_source  # polling, if ``PUBLIC_URL`` was taken away since
        return bot.updates or self._default_source

    def hears(self, bot_id: int) -> bool:
        """Tell whether a bot's updates come here."""
        return bot_id in self._registered and self.source_of(self._registered[bot_id]) is not Source.NONE

    def authenticate(self, token: str) -> int | None:
        """See ``api.ports.Fleet``."""
        bot_id = bot_id_of(token) if is_token(token) else 0
        known = self._tokens.get(bot_id, "")
        return bot_id if hmac.compare_digest(known.encode(), token.encode()) and known else None

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """See ``api.ports.Fleet``."""
        self._forgetful.append(listener)

    def take(self, bot_ids: Collection[int], kept: Mapping[int, StoredBot | None]) -> list[int]:
        """Let bots be what the books say; return those that are to be fed otherwise."""
        return [bot_id for bot_id in bot_ids if bot_id in kept and self._take_one(bot_id, kept[bot_id])]

    def note(self, bot_id: int, **changes: Any) -> None:
        """Note what was written of a bot, unless it was removed meanwhile."""
        if bot_id in self._registered:
            self._registered[bot_id] = replace(self._registered[bot_id], **changes)

    def remove(self, bot_id: int) -> None:
        """Part with a bot; who sees it off says when it is to be forgotten."""
        self._part_with(bot_id)
        self._note_removed(bot_id)

    def forget(self, bot_id: int) -> None:
        """Forget the token of a bot that was removed: its last calls have ended."""
        self._parting.pop(bot_id, None)

    def _take_one(self, bot_id: int, kept: StoredBot | None) -> bool:
        if kept is None:
            return self._leave(bot_id)
        before, token, told = self._registered.get(bot_id), self._tokens.get(bot_id), self.secrets.of(bot_id)
        self._put(kept.registered, kept.token)
        self.secrets.put(bot_id, kept.webhook)
        was_fed_so = before is not None and self.source_of(before) is self.source_of(kept.registered)
        is_new_secret = kept.webhook.next_secret not in {None, told.next_secret}
        return not was_fed_so or token != kept.token or is_new_secret

    def _put(self, registered: RegisteredBot, token: str) -> None:
        bot_id = registered.bot_id
        if not self.has_token(token):
            self._aiogram[bot_id] = aiogram_bot(token, self._session)
        self._registered[bot_id] = registered
        self._tokens[bot_id] = token
        self._removed.discard(bot_id)
        self._parting.pop(bot_id, None)

    def _leave(self, bot_id: int) -> bool:
        """Part with a bot that another process removed, if it is known here."""
        is_known = self.has(bot_id)
        if is_known:
            self._part_with(bot_id, until_ms=self._clock() + self._calls_end_within_ms)
        self._note_removed(bot_id)
        return is_known

    def _part_with(self, bot_id: int, *, until_ms: int | None = None) -> None:
        is_hooked = (
            self.source_of(self._registered[bot_id]) is Source.WEBHOOK or self.secrets.of(bot_id).told is not None
        )
        self._parting[bot_id] = Parting(self._aiogram[bot_id], is_hooked, until_ms)
        for known in (self._tokens, self._aiogram, self._registered):
            known.pop(bot_id, None)
        self.secrets.forget(bot_id)

    def _note_removed(self, bot_id: int) -> None:
        self._removed.add(bot_id)
        for listener in self._forgetful:
            listener(bot_id)
