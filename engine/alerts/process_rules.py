"""What a process finds in itself: conditions that hold in it, services that fail it, chats that are held.

Other processes cannot see it, so each writes it down for the one that looks for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tempogram.engine.alerts.durations import moment
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.alert_store import Finding
from tempogram.engine.resilience.conditions import Condition, Conditions

TEXT_OF: Mapping[Condition, str] = {
    Condition.REDIS_AWAY: "Redis cannot be reached; messages are accepted, and one process sends for all",
    Condition.REDIS_FULL: "Redis has reached its maxmemory; what is queued goes on, new messages wait in the database",
    Condition.TELEGRAM_AWAY: "the calls of several bots fail; nothing is sent but a trial each second",
    Condition.UPDATES_AWAY: "no bot's updates can be fetched; Telegram keeps them for 24 h",
    Condition.INTAKE_FULL: "updates come faster than their handlers end",
    Condition.CLOCKS_DIFFER: "the clocks of this process and of Redis differ by seconds",
}
"""Conditions that are worth an alert. The others follow from these, are those of a deploy, or have a rule of their
own; that of the database has ``database_watch``."""

CHATS_MAX = 100
"""In one check; so many chats that are held for long have one cause."""

Held = Callable[[], Iterable[tuple[int, ChatId, int]]]


class ProcessRules:
    """See the module.

    Args:
        failing: Returns the operations whose breaker has opened and not closed since, and until when none is called.
        held: Returns bot, chat and end of holds of single chats that this process has seen.
        long_ms: From which duration on, counted from now, such a hold is long.
    """

    kinds = frozenset({condition.value for condition in TEXT_OF} | {"service_failing", "chat_held"})

    def __init__(
        self,
        conditions: Conditions,
        *,
        failing: Callable[[], Iterable[str]] = tuple,
        held: Held = tuple,
        long_ms: int = 300_000,
        clock: Clock,
    ) -> None:
        self._conditions = conditions
        self._failing = failing
        self._held = held
        self._long_ms = long_ms
        self._clock = clock
        self._long: dict[tuple[int, ChatId], int] = {}

    def find(self) -> list[Finding]:
        found = [Finding(each.value, "", TEXT_OF[each]) for each in self._conditions.current if each in TEXT_OF]
        found += [_failing(operation) for operation in self._failing()]
        return found + [_held(*each) for each in self._long_holds()]

    def _long_holds(self) -> list[tuple[int, ChatId, int]]:
        """Return holds that were long when they were seen first, until they end."""
        now_ms = self._clock()
        for bot_id, chat_id, until_ms in self._held():
            if until_ms - now_ms > self._long_ms:
                self._long[bot_id, chat_id] = until_ms
        self._long = {each: until_ms for each, until_ms in self._long.items() if until_ms > now_ms}
        return [(*each, until_ms) for each, until_ms in list(self._long.items())[:CHATS_MAX]]


def _failing(operation: str) -> Finding:
    return Finding("service_failing", operation, f"{operation} fails, and is not called for now")


def _held(bot_id: int, chat_id: ChatId, until_ms: int) -> Finding:
    text = f"Telegram lets bot {bot_id} send nothing to chat {chat_id} until {moment(until_ms)}"
    return Finding("chat_held", f"{bot_id}:{chat_id}", text)
