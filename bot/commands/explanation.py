"""Why a message still waits, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tempogram.engine.ports import WaitsAt

REASONS: Mapping[str, str] = {
    WaitsAt.SCHEDULED: "the time for which it is scheduled is still to come",
    WaitsAt.BACKOFF: "its chat's last try failed, and is tried again first",
    WaitsAt.CHAT_IN_FLIGHT: "another message of its chat is being sent",
    WaitsAt.CHAT_HELD: "Telegram asked to leave its chat alone for a while",
    WaitsAt.CHAT_WINDOW: "its chat has got as many messages as it may get for now",
    WaitsAt.USER_WINDOW: "whoever made its bot say it has made it say enough for now",
    WaitsAt.BOT_PAUSED: "its bot is paused",
    WaitsAt.BOT_HELD: "Telegram asked its bot to send nothing for a while",
    WaitsAt.BOT_WINDOW: "its bot has sent as many messages as it may send for now",
    WaitsAt.SPACING: "its bot's messages leave evenly spaced, so that a place is free for what is urgent",
    WaitsAt.CEILING: "all bots together have sent as many messages as they may send for now",
    WaitsAt.TURN: "others have their turn before it",
}


def in_words(told: Mapping[str, Any], now: datetime) -> str:
    """Write what the API says of a waiting message: why, behind how many, and until when.

    >>> now = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
    >>> told = {"waits_at": "turn", "before_in_lane": 0, "before_in_line": 9, "earliest_at": "2026-01-01T12:00:00Z"}
    >>> print(in_words(told, now))
    It waits because others have their turn before it (turn).
    9 messages of its bot and priority go before it, none of them to its chat.
    It may go at any moment.
    """
    gate = told["waits_at"]
    return "\n".join(
        (
            f"It waits because {REASONS.get(gate, 'a gate is shut')} ({gate}).",
            _before(told["before_in_line"], told["before_in_lane"]),
            _when(told["earliest_at"], now),
        )
    )


def _before(in_line: int, in_lane: int) -> str:
    """Say how many go before it; those of its chat are part of those of its bot.

    >>> _before(0, 0)
    'Nothing of its bot and priority goes before it.'
    >>> _before(1, 1)
    '1 message of its bot and priority goes before it, 1 of them to its chat.'
    """
    if not in_line:
        return "Nothing of its bot and priority goes before it."
    many = (
        f"{in_line:,} messages of its bot and priority go" if in_line > 1 else "1 message of its bot and priority goes"
    )
    return f"{many} before it, {f'{in_lane:,}' if in_lane else 'none'} of them to its chat."


def _when(earliest_at: str | None, now: datetime) -> str:
    if earliest_at is None:
        return "When it goes, nobody can say before its bot is resumed."
    earliest = datetime.fromisoformat(earliest_at)
    left_s = (earliest - now).total_seconds()
    if left_s <= 0:
        return "It may go at any moment."
    return f"It goes at {earliest.astimezone():%Y-%m-%d %H:%M:%S} at the earliest, {_in(left_s)} from now."


def _in(left_s: float) -> str:
    """Write a span so that it is read at a glance.

    >>> _in(0.4), _in(75), _in(3_600), _in(200_000)
    ('0.4 s', '1 min 15 s', '1 h', '2 d 7 h')
    """
    if left_s < 60:
        return f"{left_s:.1f} s"
    whole_s = round(left_s)
    parts = [(whole_s // 86_400, "d"), (whole_s // 3_600 % 24, "h"), (whole_s // 60 % 60, "min"), (whole_s % 60, "s")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
