"""What is wrong just now, for as long as it is: one line in the log when it begins, one when it ends."""

from __future__ import annotations

from enum import StrEnum

import structlog

from engine.ports.clock import Clock

log = structlog.get_logger()


class Condition(StrEnum):
    """What the engine can go on with, in part or with delay. Its name is what ``/health`` and the metric show."""

    REDIS_AWAY = "redis_away"  # nothing can be scheduled there; the ledger takes in what is submitted
    REDIS_FULL = "redis_full"  # it has reached its maxmemory; what is scheduled goes on
    SCHEDULE_LOST = "schedule_lost"  # Redis is there and its schedule must be rebuilt from the ledger
    ONE_SENDER = "one_sender"  # one process sends for all, from a schedule in its own memory
    OTHER_VERSION = "other_version"  # processes of another version send; this one only takes in
    LEDGER_AWAY = "ledger_away"  # nothing can be accepted or recorded
    TELEGRAM_AWAY = "telegram_away"  # calls fail; nothing is leased but a trial


class Conditions:
    """Those of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms: dict[Condition, int] = {}

    def begin(self, condition: Condition, reason: str) -> None:
        """Note that it holds from now on; nothing happens if it does already."""
        if condition not in self._since_ms:
            self._since_ms[condition] = self._clock()
            log.error("condition began", condition=condition.value, reason=reason)

    def end(self, condition: Condition) -> None:
        """Note that it is over; nothing happens if it is already."""
        since_ms = self._since_ms.pop(condition, None)
        if since_ms is not None:
            log.warning("condition ended", condition=condition.value, after_ms=self._clock() - since_ms)

    def holds(self, condition: Condition) -> bool:
        return condition in self._since_ms

    @property
    def current(self) -> list[Condition]:
        """Return those that hold, the oldest first."""
        return list(self._since_ms)
