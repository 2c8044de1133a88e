"""Why a message still waits, and for how long at least."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WaitsAt(StrEnum):
    """What a message can wait for, in the order in which it is checked."""

    SCHEDULED = "scheduled"  # its own ``ready_at_ms``
    REFERENCE = "reference"  # it is parked until the messages to which it refers have ended
    BACKOFF = "backoff"  # its lane waits for a retry
    CHAT_IN_FLIGHT = "chat_in_flight"  # another message of its chat is being sent
    CHAT_HELD = "chat_held"  # Telegram asked us to wait
    CHAT_WINDOW = "chat_window"
    USER_WINDOW = "user_window"  # the user who triggered it has reached the per-user limit
    BOT_PAUSED = "bot_paused"
    BOT_HELD = "bot_held"
    BOT_FAILING = "bot_failing"  # its calls fail, and it is tried now and then
    BOT_WINDOW = "bot_window"
    SPACING = "spacing"  # places are free, and left for what is urgent
    CEILING = "ceiling"
    TURN = "turn"  # only other messages that go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message still waits, and for how long at least.

    Attributes:
        waits_at: What keeps back the head of its lane, or its own time if that is to come.
        before_in_lane: Messages that its chat gets before it.
        before_in_line: Messages of its bot and priority that would go before it if all of them could:
            those of its lane, and of each other lane as many as turns go round until then.
        earliest_at_ms: Not before this time, even if nothing else takes a place meanwhile. None: its bot
            is paused, or it is parked. (What is in flight is counted as sent now.)
        waits_for: The open messages until whose end it is parked. (A broker does not know them.)
        tag: As of the message. (A broker does not look for it.)
    """

    message_id: str
    waits_at: WaitsAt
    before_in_lane: int
    before_in_line: int
    earliest_at_ms: int | None
    waits_for: tuple[str, ...] = ()
    tag: str | None = None
