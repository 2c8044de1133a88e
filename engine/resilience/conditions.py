"""What is wrong just now, for as long as it is: one line in the log when it begins, one when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from enum import StrEnum

import structlog

from tempogram.engine.model.clock import Clock

log = structlog.get_logger()

OBSERVED_MS = 5_000
"""How long a glimpse is good. A guess: who is refused is told to come again in a second, so as long as anybody wants
something, there is another one before."""


class Condition(StrEnum):
    """What the engine can go on with, in part or with delay. Its name is what ``/health`` and the metric show."""

    REDIS_AWAY = "redis_away"  # nothing can be scheduled or told there; the ledger takes in what is submitted
    REDIS_FULL = "redis_full"  # it has reached its maxmemory; what is scheduled goes on
    SCHEDULE_LOST = "schedule_lost"  # Redis is there and its schedule must be rebuilt from the ledger
    NOT_BEGUN = "not_begun"  # no process that sends has run on these books; what is submitted waits there
    ONE_SENDER = "one_sender"  # one process sends for all, from a schedule in its own memory
    OTHER_VERSION = "other_version"  # processes of another version send; this one only takes in
    LEDGER_AWAY = "ledger_away"  # nothing can be accepted or recorded
    TELEGRAM_AWAY = "telegram_away"  # calls fail; nothing is leased but a trial


class Conditions:
    """Those of one process.

    One condition may be seen by several, and each knows only what was answered to him. It holds from the first who
    sees it until the last of these has ended it; how many they are, and how often each says so, is one line.

    Only who asks again until it is over begins a condition, as nobody else ends it for him. Who asks once, and gives
    up when he is refused, has a glimpse of it: that ends by itself, once nobody has had another for a while.
    """

    def __init__(self, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._since_ms: dict[Condition, int] = {}
        self._seen_by: dict[Condition, set[Hashable]] = {each: set() for each in Condition}
        self._observed_at_ms: dict[Condition, int] = {}

    def begin(self, condition: Condition, reason: str, *, seen_by: Hashable = "") -> None:
        """Note that somebody sees it from now on; nothing happens if he does already.

        ``seen_by`` is his name, or any object of his own: those with the same one are the same.
        """
        self._seen_by[condition].add(seen_by)
        if condition not in self._since_ms:
            self._since_ms[condition] = self._clock()
            log.error("condition_began", condition=condition.value, reason=reason)

    def end(self, condition: Condition, *, seen_by: Hashable = "") -> None:
        """Note that he sees it no more; nothing happens if he did not. It is over if nobody else does."""
        seen_by_all = self._seen_by[condition]
        seen_by_all.discard(seen_by)
        if not seen_by_all and (since_ms := self._since_ms.pop(condition, None)) is not None:
            log.warning("condition_ended", condition=condition.value, after_ms=self._clock() - since_ms)

    def observe(self, condition: Condition, reason: str) -> None:
        """Note that somebody met it who does not ask again: it is seen for ``OBSERVED_MS``, while ``run`` runs."""
        self._observed_at_ms[condition] = self._clock()
        self.begin(condition, reason, seen_by=self.observe)

    async def run(self) -> None:
        """End what was only glimpsed, when its time has come, until cancelled."""
        while True:
            await self._sleep(OBSERVED_MS / 1_000)
            self.lapse()

    def lapse(self) -> None:
        """End what nobody has glimpsed for ``OBSERVED_MS``."""
        until_ms = self._clock() - OBSERVED_MS
        for condition in [each for each, at_ms in self._observed_at_ms.items() if at_ms <= until_ms]:
            del self._observed_at_ms[condition]
            self.end(condition, seen_by=self.observe)

    def holds(self, condition: Condition) -> bool:
        return condition in self._since_ms

    def is_seen(self, condition: Condition, *, by: Hashable) -> bool:
        """Tell whether one of them sees it; it may hold because of others."""
        return by in self._seen_by[condition]

    @property
    def current(self) -> list[Condition]:
        """Return those that hold, the oldest first."""
        return list(self._since_ms)
