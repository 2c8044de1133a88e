"""What there are alerts of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alert.

    Attributes:
        title: What a person reads first.
        is_sure: One check suffices: what is found has lasted, or was counted over some time. Others must be found by
            several checks in a row, as they come and go.
        is_urgent: It is said in quiet hours, too, unless the settings choose others.
    """

    title: str
    is_sure: bool = False
    is_urgent: bool = False


DATABASE_AWAY = "database_away"

KINDS: Mapping[str, Kind] = {
    "task_stalled": Kind("Task stalled", is_sure=True),
    "task_failing": Kind("Task failing", is_sure=True),
    "service_failing": Kind("Service failing"),
    "dead_letters": Kind("Dead letters", is_sure=True),
    "backlog": Kind("Backlog", is_sure=True),
    "bot_without_token": Kind("Bot without token", is_sure=True),
    "bot_held": Kind("Bot held", is_sure=True),
    "chat_held": Kind("Chat held", is_sure=True),
    "redis_away": Kind("Redis away", is_urgent=True),
    "redis_full": Kind("Redis full", is_urgent=True),
    "telegram_away": Kind("Telegram away", is_urgent=True),
    "updates_away": Kind("Updates away", is_urgent=True),
    "intake_full": Kind("Updates too fast"),
    "clocks_differ": Kind("Clocks differ"),
    DATABASE_AWAY: Kind("Database away", is_urgent=True),
    "test": Kind("Test", is_sure=True, is_urgent=True),
}

URGENT = frozenset(name for name, kind in KINDS.items() if kind.is_urgent)


def title_of(kind: str) -> str:
    """Return what a person reads; a kind of another version has its name."""
    return KINDS[kind].title if kind in KINDS else kind


def checks_of(kind: str, after: int) -> int:
    """Return how many checks in a row must find something of a kind."""
    return 1 if kind in KINDS and KINDS[kind].is_sure else after
