"""The outages of one process: one log line when one begins, one when it ends, and a state in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from enum import StrEnum

import structlog

from tempogram.engine.model.clock import Clock

log = structlog.get_logger()

OBSERVED_MS = 5_000
"""How long an observation lasts. untuned: a caller that is refused is asked to try again after a second, so during an
outage the next observation comes before this one ends."""


class Condition(StrEnum):
    """An outage during which the engine works on, in part or with delay. ``/health`` and the metric show the value."""

    REDIS_AWAY = "redis_away"  # nothing can be queued or announced there; what is submitted goes into the ledger
    REDIS_FULL = "redis_full"  # it has reached its maxmemory; what is queued goes on
    QUEUE_LOST = "schedule_lost"  # Redis is there, and its queue must be rebuilt; named as /health always has
    NOT_BEGUN = "not_begun"  # no process that sends has used this database yet; what is submitted waits there
    ONE_SENDER = "one_sender"  # one process sends for all, from a queue in its own memory
    OTHER_VERSION = "other_version"  # processes of another version send; this one only accepts messages
    LEDGER_AWAY = "ledger_away"  # nothing can be accepted or recorded
    TELEGRAM_AWAY = "telegram_away"  # the calls of distinct bots fail; nothing is leased but a trial each second
    UPDATES_AWAY = "updates_away"  # no bot's getUpdates or setWebhook is answered; Telegram keeps the updates
    CLOCKS_DIFFER = "clocks_differ"  # that of this process, that of Redis and the time of the queue, by seconds
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105 - of some bot: it waits, and the others run
    INTAKE_FULL = "intake_full"  # updates come faster than their handlers end; Telegram keeps the polled ones


class Conditions:
    """Which conditions hold in this process.

    Several callers may report the same condition. It holds from the first report until the last caller has ended its
    own; that is one log line, however many callers there are and however often each reports.

    Call ``begin`` only if you keep retrying and will call ``end``. One-shot callers use ``observe``, which expires
    after 5 s.
    """

    def __init__(self, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._since_ms: dict[Condition, int] = {}
        self._seen_by: dict[Condition, set[Hashable]] = {each: set() for each in Condition}
        self._observed_at_ms: dict[Condition, int] = {}

    def begin(self, condition: Condition, reason: str, *, seen_by: Hashable = "") -> None:
        """Report a condition, once for each ``seen_by``: the caller's name, or any object of its own."""
        self._seen_by[condition].add(seen_by)
        if condition not in self._since_ms:
            self._since_ms[condition] = self._clock()
            log.error("condition_began", condition=condition.value, reason=reason)

    def end(self, condition: Condition, *, seen_by: Hashable = "") -> None:
        """End one caller's report, if there is one. The condition ends with the last of them."""
        seen_by_all = self._seen_by[condition]
        seen_by_all.discard(seen_by)
        if not seen_by_all and (since_ms := self._since_ms.pop(condition, None)) is not None:
            log.warning("condition_ended", condition=condition.value, after_ms=self._clock() - since_ms)

    def observe(self, condition: Condition, reason: str) -> None:
        """Report a condition for ``OBSERVED_MS``; ``run`` ends it."""
        self._observed_at_ms[condition] = self._clock()
        self.begin(condition, reason, seen_by=self.observe)

    async def run(self) -> None:
        """End observations when they expire, until cancelled."""
        while True:
            await self._sleep(OBSERVED_MS / 1_000)
            self.lapse()

    def lapse(self) -> None:
        """End the conditions that were not observed again for ``OBSERVED_MS``."""
        until_ms = self._clock() - OBSERVED_MS
        for condition in [each for each, at_ms in self._observed_at_ms.items() if at_ms <= until_ms]:
            del self._observed_at_ms[condition]
            self.end(condition, seen_by=self.observe)

    def holds(self, condition: Condition) -> bool:
        return condition in self._since_ms

    def is_seen(self, condition: Condition, *, by: Hashable) -> bool:
        """Tell whether this caller has reported it; the condition may hold because of others."""
        return by in self._seen_by[condition]

    @property
    def current(self) -> list[Condition]:
        """Return the conditions that hold, the oldest first."""
        return list(self._since_ms)
