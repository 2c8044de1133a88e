"""A broadcast: one message to all chats of a selection, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tempogram.engine.model.messages import ChatId, Guarantee, Priority, Status
from tempogram.engine.model.selection import DEFAULT_ZONE, QuietHours, Rules, Selection

BROADCAST = "broadcast:"
"""How the tag and the ``dedup_key`` of a broadcast's message begin."""


class BroadcastState(StrEnum):
    """Where a broadcast stands. The last two are final, but that a broadcast that is done may be retried."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What became of a recipient. The first five are how its message ended; the others got none."""

    SENT = "sent"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    UNREACHABLE = "unreachable"
    """Its chat takes nothing, as an earlier answer of Telegram said."""
    OPTED_OUT = "opted_out"
    """It has opted out since the broadcast began."""
    DAILY_CAP = "daily_cap"
    """Its chat had been written to by as many campaigns on its local date."""
    REFUSED = "refused"
    """Telegram would refuse the message, as it is for this chat."""


FAILED = (Outcome.DEAD, Outcome.EXPIRED, Outcome.REFUSED)
"""What a retry tries again. What is uncertain may have arrived; the other chats do not take it."""

OF_STATUS = {
    Status.SENT: Outcome.SENT,
    Status.DEAD: Outcome.DEAD,
    Status.CANCELLED: Outcome.CANCELLED,
    Status.EXPIRED: Outcome.EXPIRED,
    Status.UNCERTAIN: Outcome.UNCERTAIN,
}

TRUE_WORDS = frozenset({"true", "1", "yes", "y", "on", "t"})
"""How a flag may be written, as ``bool`` takes it in parameters."""

NANOSTARS = 1_000_000_000
"""Parts of a Star, in which Telegram bills. Source: https://core.telegram.org/bots/api#startransaction"""

SPREAD_MS_MAX = 7 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is sent: a method of the Bot API with its parameters, without ``chat_id``. Texts may have fields.

    Attributes:
        media: The id under which its files are kept, once for all recipients; None: it has none.
    """

    method: str
    params: Mapping[str, Any]
    media: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a broadcast is to do. It does not change.

    Attributes:
        at_minute: Of each chat's own day; None: at once.
        spread_ms: The chats are spread over so long a time, evenly.
        default_zone: Of chats whose zone is not known.
        quiet_hours: Of chats that have none of their own.
        daily_cap: A chat gets at most so many messages on a local date, over all campaigns; None: any number.
        not_if_written_today: Chats to which the bot has written on their local date are left out.
        guarantee: Whether a message that perhaps arrived is sent again.
    """

    selection: Selection
    content: Content
    at_minute: int | None = None
    spread_ms: int = 0
    default_zone: str = DEFAULT_ZONE
    quiet_hours: QuietHours | None = None
    daily_cap: int | None = None
    not_if_written_today: bool = False
    priority: Priority = Priority.LOW
    guarantee: Guarantee = Guarantee.AT_MOST_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stars:
    """What a bot paid for during a broadcast; see ``engine.broadcasts.billing``.

    Attributes:
        purse_places: Places that its purse counted, 0.1 Star each at most.
        nanostars_billed: Billionths of a Star, as Telegram says; None: it is not known.
        asked_at_ms: When Telegram was asked.
    """

    purse_places: int
    nanostars_billed: int | None
    asked_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """A broadcast, as it is stored.

    Attributes:
        is_gathered: All its recipients have their rows.
        gathered_to: The last chat that has one, as a text.
        is_retrying: Those that failed are being set back.
        is_active: It runs, or what waits of it in the queue is being taken back.
        recipients: How many have a row by now.
        outcomes: How many recipients have ended, by outcome.
        problem: Why it was paused, if no operator has paused it.
        stars: None: it is not known what was paid for it.
    """

    id: int
    name: str
    plan: Plan
    state: BroadcastState = BroadcastState.DRAFT
    is_gathered: bool = False
    gathered_to: str = ""
    is_retrying: bool = False
    is_active: bool = False
    recipients: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    created_at_ms: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    problem: str | None = None
    stars: Stars | None = None

    @property
    def is_paid(self) -> bool:
        """Tell whether its messages may go as paid ones."""
        return str(self.plan.content.params.get("allow_paid_broadcast", "")).lower() in TRUE_WORDS

    @property
    def bot_id(self) -> int:
        return self.plan.selection.bot_id

    @property
    def tag(self) -> str:
        """The tag of its messages."""
        return f"{BROADCAST}{self.id}"

    @property
    def rules(self) -> Rules:
        """How its audience is asked for."""
        return Rules(
            campaign=self.tag,
            default_zone=self.plan.default_zone,
            quiet_hours=self.plan.quiet_hours,
            daily_cap=self.plan.daily_cap,
            not_if_written_today=self.plan.not_if_written_today,
        )

    @property
    def left(self) -> int:
        """How many known recipients have not ended."""
        return self.recipients - sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The broadcasts that run, in a few numbers.

    Attributes:
        waiting: Their recipients without an outcome.
        outcomes: Their recipients that have ended, by outcome.
        next_due_ms: When the next recipient is due that has no message; None: each has one.
    """

    running: int
    waiting: int = 0
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    next_due_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A recipient whose message is due.

    Attributes:
        chat_id: Under which it was gathered.
        round: 0 for the first message to it, one more for each after it: a retry, or one after a pause.
        moved_to: Its chat's id now, if it has become a supergroup since.
        is_twin: Its chat has another row, under another of its ids, which counts.
        title: Of its chat, as all that follow; None: not known.
        quiet_hours: Its own; None: it has none.
        has_opted_out: Since the broadcast began.
        is_reachable: As far as is known.
        claimed_on: The last local date on which the broadcast had the right to write to it, if there is a daily cap.
    """

    chat_id: ChatId
    round: int = 0
    moved_to: ChatId | None = None
    is_twin: bool = False
    title: str | None = None
    language: str | None = None
    zone: str | None = None
    quiet_hours: QuietHours | None = None
    has_opted_out: bool = False
    is_reachable: bool = True
    claimed_on: str | None = None

    @property
    def to(self) -> ChatId:
        """The chat to which its message goes."""
        return self.chat_id if self.moved_to is None else self.moved_to

    def dedup_key(self, broadcast: Broadcast) -> str:
        """Return the key with which its message is accepted once, whatever process submits it."""
        return f"{broadcast.tag}:{self.round}:{self.chat_id}"
