"""Tells an outage of Telegram from a trouble of one bot, for the update sources of a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from tempogram.engine.resilience.conditions import Condition, Conditions

log = structlog.get_logger()


class SourceHealth:
    """One line when an outage begins and one when it ends, however many bots there are.

    A call without an answer does not say whose fault that is, and is not logged. It is an outage if a second bot's
    call fails before anyone's succeeds (of a bot that is alone: its first), and the first success ends it. A bot that
    fails again though another one has succeeded in between has a trouble of its own: that is a line for this bot, one
    more when it is over, and until then it says nothing of the others.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._watched: set[int] = set()
        self._failing: set[int] = set()
        self._failed_since_success: set[int] = set()
        self._alone_in_trouble: set[int] = set()

    @contextmanager
    def watching(self, bot_id: int) -> Iterator[None]:
        """Count a bot among those whose updates this process asks for, until the block ends."""
        self._watched.add(bot_id)
        try:
            yield
        finally:
            for bots in (self._watched, self._failing, self._failed_since_success, self._alone_in_trouble):
                bots.discard(bot_id)
            if not self._watched:
                self._conditions.end(Condition.UPDATES_AWAY, seen_by=self)

    def failed(self, bot_id: int, reason: str) -> None:
        """Note a call that Telegram did not answer. ``reason`` holds no token."""
        if bot_id in self._alone_in_trouble or self._conditions.is_seen(Condition.UPDATES_AWAY, by=self):
            return
        has_another_succeeded = bot_id in self._failing and bot_id not in self._failed_since_success
        self._failing.add(bot_id)
        self._failed_since_success.add(bot_id)
        if has_another_succeeded:
            self._failed_since_success.discard(bot_id)
            self._alone_in_trouble.add(bot_id)
            log.warning("bot_updates_away", bot_id=bot_id, reason=reason)
        elif len(self._failed_since_success) >= min(2, len(self._watched - self._alone_in_trouble)):
            self._conditions.begin(Condition.UPDATES_AWAY, reason, seen_by=self)

    def succeeded(self, bot_id: int) -> None:
        """Note a call that Telegram answered, whatever it said."""
        self._failing.discard(bot_id)
        self._failed_since_success.clear()
        if self._conditions.is_seen(Condition.UPDATES_AWAY, by=self):
            self._failing.clear()
            self._conditions.end(Condition.UPDATES_AWAY, seen_by=self)
        if bot_id in self._alone_in_trouble:
            self._alone_in_trouble.discard(bot_id)
            log.info("bot_updates_back", bot_id=bot_id)
