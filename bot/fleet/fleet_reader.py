"""The bots that the database knows, as a process needs them that only sends: their tokens, kept current."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import structlog

from tempogram.bot.fleet.registry import BotLocks, Registry, StoredBots
from tempogram.bot.fleet.webhook_secrets import WebhookSecrets
from tempogram.engine.ports import Clock
from tempogram.engine.ports.changes import Changes
from tempogram.engine.resilience.conditions import Condition, Conditions
from tempogram.storage.bots import Bots, Source

if TYPE_CHECKING:
    from tempogram.bot.fleet.bot_objects import BotObjects


log = structlog.get_logger()

ALL_UNREADABLE = "no stored token can be decrypted with this SECRET_KEY"


class FleetReader:
    """Reads the bots again when another process has changed them; see ``Fleet`` for changes of our own.

    Args:
        calls_end_within_ms: How long a call may still run with a token that another process has removed.
        objects: See ``Registry``.
    """

    def __init__(
        self,
        *,
        bots: Bots,
        default_source: Source,
        changes: Changes,
        calls_end_within_ms: int,
        conditions: Conditions,
        clock: Clock,
        objects: BotObjects | None = None,
    ) -> None:
        bot_locks = BotLocks(changes)
        self.secrets = WebhookSecrets(bots, bot_locks.of)
        self.registry = Registry(
            secrets=self.secrets,
            default_source=default_source,
            calls_end_within_ms=calls_end_within_ms,
            clock=clock,
            objects=objects,
        )
        self._stored_bots = StoredBots(bots=bots, registry=self.registry, bot_locks=bot_locks, clock=clock)
        self._conditions = conditions
        self._said_unreadable: set[int] = set()
        self._source_changed: Callable[[int], None] | None = None

    async def load(self) -> None:
        """Read every bot again, and notify the listener of each whose update source changed.

        A bot whose token cannot be decrypted is left out, and reported as an alert and a condition.

        Raises:
            LedgerError: Nothing was read.
        """
        self._notify_changed(*await self._stored_bots.read_all())
        self._report_unreadable()

    async def reload(self, bot_ids: Collection[int]) -> None:
        """Read some bots again that another process changed; see ``load``."""
        self._notify_changed(*await self._stored_bots.read(bot_ids))
        self._report_unreadable()

    async def reload_token(self, bot_id: int) -> str | None:
        """Read a bot again and return its token: a change of it may not have been announced yet."""
        await self.reload([bot_id])
        return self.registry.token_of(bot_id)

    def when_changed(self, listener: Callable[[int], None] | None) -> None:
        """Notify one listener of each bot that is added or removed, or whose update source changes."""
        self._source_changed = listener

    def _report_unreadable(self) -> None:
        unreadable, said = set(self.registry.unreadable), self._said_unreadable
        for bot_id in said - unreadable:
            self._conditions.end(Condition.TOKEN_UNREADABLE, seen_by=bot_id)
        if (new := unreadable - said) and unreadable >= set(self.registry.bot_ids) and len(unreadable) > 1:
            log.error("alert", kind="secret_key_differs", reason=ALL_UNREADABLE, way_out="see tempogram keys")
        else:
            for bot_id in sorted(new):
                way_out = f"enter it anew: tempogram keys enter {bot_id}, or POST /bots"
                log.error("alert", kind="token_unreadable", bot_id=bot_id, way_out=way_out)
        for bot_id in new:
            reason = f"the stored token of bot {bot_id} cannot be decrypted"
            self._conditions.begin(Condition.TOKEN_UNREADABLE, reason, seen_by=bot_id)
        self._said_unreadable = unreadable

    def _notify_changed(self, *bot_ids: int) -> None:
        for bot_id in bot_ids:
            if self._source_changed is not None and self.registry.knows(bot_id):
                self._source_changed(bot_id)
