"""Explains in plain words why a message waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tempogram.engine.ports import WaitsAt

REASONS: Mapping[str, str] = {
    WaitsAt.SCHEDULED: "it is scheduled for a later time",
    WaitsAt.REFERENCE: "it refers to a message that is not sent yet",
    WaitsAt.BACKOFF: "the last attempt to its chat failed and is repeated first",
    WaitsAt.CHAT_IN_FLIGHT: "another message of its chat is being sent",
    WaitsAt.CHAT_HELD: "Telegram asked for a pause in its chat (429)",
    WaitsAt.CHAT_WINDOW: "its chat has reached the per-chat limit",
    WaitsAt.USER_WINDOW: "the user who triggered it has reached the per-user limit",
    WaitsAt.BOT_PAUSED: "its bot is paused",
    WaitsAt.BOT_HELD: "Telegram asked for a pause of its bot (429)",
    WaitsAt.BOT_FAILING: "the calls of its bot fail, and one is tried now and then",
    WaitsAt.BOT_WINDOW: "its bot has reached the per-bot limit",
    WaitsAt.SPACING: "its bot's messages are spaced evenly, so that urgent ones find a free place",
    WaitsAt.CEILING: "all bots together have reached the global limit",
    WaitsAt.TURN: "other messages are sent before it",
}


def in_words(state: Mapping[str, Any], now: datetime) -> str:
    """Return the API's explanation in sentences: why it waits, behind how many, and until when.

    >>> now = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
    >>> state = {"waits_at": "turn", "before_in_lane": 0, "before_in_line": 9, "earliest_at": "2026-01-01T12:00:00Z"}
    >>> print(in_words(state, now))
    It waits because other messages are sent before it (turn).
    9 messages of its bot and priority go before it, none of them to its chat.
    It may go at any moment.
    """
    gate = state["waits_at"]
    return "\n".join(
        (
            f"It waits {_why(gate)} ({gate}).",
            _before(state["before_in_line"], state["before_in_lane"]),
            _after(state["waits_for"]) if state.get("waits_for") else _when(state["earliest_at"], now),
            *([f"Its tag is {state['tag']}."] if state.get("tag") else []),
        )
    )


def _why(gate: str) -> str:
    """Say what it waits for; a newer version of the API may have reasons of its own.

    >>> _why("turn"), _why("x")
    ('because other messages are sent before it', 'for a reason that this version does not know')
    """
    return f"because {REASONS[gate]}" if gate in REASONS else "for a reason that this version does not know"


def _before(in_line: int, in_lane: int) -> str:
    """Say how many messages go before it; those of its chat are among those of its bot.

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


def _after(message_ids: Sequence[str]) -> str:
    """Say after which messages it goes.

    >>> _after(["018bcfe5680000000000000007"])
    'It goes once 018bcfe5680000000000000007 has ended.'
    """
    return f"It goes once {' and '.join(message_ids)} {'has' if len(message_ids) == 1 else 'have'} ended."


def _when(earliest_at: str | None, now: datetime) -> str:
    if earliest_at is None:
        return "It goes some time after its bot is resumed."
    earliest = datetime.fromisoformat(earliest_at)
    left_s = (earliest - now).total_seconds()
    if left_s <= 0:
        return "It may go at any moment."
    return f"It goes at {earliest.astimezone():%Y-%m-%d %H:%M:%S} at the earliest, {_in(left_s)} from now."


def _in(left_s: float) -> str:
    """Write a time span in at most two units.

    >>> _in(0.4), _in(75), _in(3_600), _in(200_000)
    ('0.4 s', '1 min 15 s', '1 h', '2 d 7 h')
    """
    if left_s < 60:
        return f"{left_s:.1f} s"
    whole_s = round(left_s)
    parts = [(whole_s // 86_400, "d"), (whole_s // 3_600 % 24, "h"), (whole_s // 60 % 60, "min"), (whole_s % 60, "s")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
