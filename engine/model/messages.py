"""The values that travel: a message, the right to send it, and how that right ends.

What every message needs is a struct, which is made four times as fast as a frozen dataclass and which Python's
garbage collector need not look at. A changed copy of one is made by ``msgspec.structs.replace``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

ChatId = int | str
"""Negative for groups and channels, ``@name`` for a public one whose id is not known yet,
``inline:…`` for a message that Telegram keeps outside of any chat we can see, ``method:…`` for calls of a method that
concern no chat, such as ``setMyName``: a 429 for one of them holds its like."""

BotChat = tuple[int, ChatId]
"""A bot's id and one of its chats."""


class Priority(StrEnum):
    """How often a message gets a turn; shared 16 : 4 : 1, never strictly."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


PRIORITIES = tuple(Priority)


class Guarantee(StrEnum):
    """What happens to a message that perhaps arrived."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class PausedBy(StrEnum):
    """Why a bot sends nothing. ``UNREADABLE`` is stored as ``TOKEN``: it ends as that does, with a valid token."""

    OPERATOR = "operator"
    TOKEN = "token_revoked"  # noqa: S105 - a reason, no secret
    UNREADABLE = "token_unreadable"


class Status(StrEnum):
    """Where a message stands. The last five are final, and each message ends in exactly one of them."""

    QUEUED = "queued"
    SENDING = "sending"  # marked before an at_most_once call, so that a crash finds it
    SENT = "sent"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"


OPEN = (Status.QUEUED, Status.SENDING)

PARKED_MS = 90_000_000_000_000
"""The ``ready_at_ms`` of a message that waits until others have ended: in the year 4821.

Of 14 digits, which Lua still writes without an exponent."""

KEPT_MS = -1
"""The ``ready_at_ms`` of an amendment that changes the content alone."""

KEPT_METHOD = ""
"""The ``method`` of an amendment that changes the time alone."""


class Outgoing(Struct, frozen=True, gc=False, kw_only=True):
    """One Bot API call not yet made.

    Attributes:
        id: Fixed width, sorts by the time of submission; see ``ids``.
        bot_id: The number before the colon of the bot's token.
        chat_id: The chat whose limit it counts against. None: only the bot's.
        method: As Telegram spells it: ``sendMessage``.
        params: A JSON object without ``chat_id``, ready to be sent as it is.
        cost: Places it takes in each window: an album takes one for each item. 0 is *uncounted*: a call that Telegram
            does not count (``deleteMessage``) takes none, and waits only for holds and pauses.
        submitted_at_ms: Milliseconds since the epoch, as are all times here.
        ready_at_ms: Not before this time; 0 is at once.
        expires_at_ms: Not at or after this time; None is never.
        dedup_key: The same key of the same bot is accepted once, for as long as the ledger keeps the first one.
        attempt: Attempts already spent; not 0 only for a message read back from the ledger.
        replaces: What it changes (``edit:7``), if a newer message with the same chat, method and ``replaces``
            makes it needless. None: nothing does.
        user_id: The user who triggered it; None: none did.
        is_paid: Its bot pays for its speed; in a lease: it goes as a paid one.
        tag: A label of the user's own, such as the name of a campaign; None: it has none. Nothing is sent by it.
    """

    id: str
    bot_id: int
    chat_id: ChatId | None
    method: str
    params: bytes
    priority: Priority = Priority.NORMAL
    cost: int = 1
    submitted_at_ms: int = 0
    ready_at_ms: int = 0
    expires_at_ms: int | None = None
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    dedup_key: str | None = None
    attempt: int = 0
    replaces: str | None = None
    user_id: int | None = None
    is_paid: bool = False
    tag: str | None = None


def amended(kept: Outgoing, by: Outgoing, *, keeps_time: bool) -> Outgoing:
    """Return a message that waits with another content or another time, or both.

    >>> message = Outgoing(id="a", bot_id=1, chat_id=5, method="sendMessage", params=b"{}", ready_at_ms=7)
    >>> by = Outgoing(id="a", bot_id=1, chat_id=5, method=KEPT_METHOD, params=b"", ready_at_ms=0)
    >>> amended(message, by, keeps_time=False) == replace(message, ready_at_ms=0)
    True
    """
    method, params = (kept.method, kept.params) if by.method == KEPT_METHOD else (by.method, by.params)
    ready_at_ms = kept.ready_at_ms if keeps_time or by.ready_at_ms == KEPT_MS else by.ready_at_ms
    return replace(kept, method=method, params=params, ready_at_ms=ready_at_ms)


class Lease(Struct, frozen=True, gc=False):
    """The right to send one message until ``expires_at_ms``, and to settle it with this very token.

    Attributes:
        attempt: 1 for the first.
        incarnation: Of the broker that gave it; another incarnation refuses it.
        number: Rises with every lease; a message leased again has a higher one.
    """

    message: Outgoing
    attempt: int
    worker_id: str
    incarnation: int
    number: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing to one chat, or with ``chat_id`` None from one bot, until a time."""

    bot_id: int
    chat_id: ChatId | None
    until_ms: int


@dataclass(frozen=True, slots=True)
class PastSend:
    """A call of the past, whose places in the windows are taken since ``counted_at_ms``; from the ledger."""

    bot_id: int
    chat_id: ChatId | None
    counted_at_ms: int
    cost: int
    is_paid: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """Places that a bot has paid for, the last of them at ``at_ms``."""

    bot_id: int
    at_ms: int
    cost: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Another call under the same id: what is left of a message of which a part arrived, or could not arrive."""

    method: str
    params: bytes
    cost: int

    def of(self, message: Outgoing) -> Outgoing:
        return replace(message, method=self.method, params=self.params, cost=self.cost)


# How a lease ends. A settlement names one of these.


@dataclass(frozen=True, slots=True)
class Done:
    """The ledger has its final status; the broker forgets it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Back to the head of its lane, which waits for ``delay_ms``; ``spent`` tells whether it cost an attempt.

    If the call failed (see ``Settlement.alive``), its chat's other lanes wait as long.
    """

    delay_ms: int
    spent: bool = True


@dataclass(frozen=True, slots=True)
class HoldChat:
    """Telegram asked us to wait: back to the head of its lane, and nothing goes to its chat until then."""

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class MoveChat:
    """The chat has another id: this message, what waits for the old id, its windows and holds go there."""

    to_chat_id: ChatId


@dataclass(frozen=True, slots=True)
class PauseBot:
    """The token is revoked: back to the head of its lane, and the bot sends nothing until it is resumed."""


Then = Done | Again | HoldChat | MoveChat | PauseBot


class Settlement(Struct, frozen=True, gc=False):
    """The end of a lease.

    Attributes:
        counted_age_ms: How long ago Telegram counted it at the latest, rounded down. An age, because
            no two clocks agree. None: the bytes never left, and its places are free at once.
        rest: What the message is from now on, because a part of it arrived. Telegram counted that part;
            the places of the rest are free at once.
        alive: What the answer tells of Telegram: True: it answered; False: the call failed, by a 5xx, a time-out or
            the lack of a connection; None: nothing, as no call was made, or ours is the fault.
        refused: Telegram refused it as a whole, so nothing arrived: one of its places counts, for the call itself, and
            the others are free at once.
    """

    lease: Lease
    then: Then
    counted_age_ms: int | None
    rest: Rest | None = None
    alive: bool | None = None
    refused: bool = False

    @property
    def counted_cost(self) -> int:
        return counted_cost(self.lease.message.cost, self.rest, refused=self.refused)


def counted_cost(cost: int, rest: Rest | None, *, refused: bool) -> int:
    """Return how many places of a call Telegram counted at most, if the bytes left.

    >>> rest = Rest("sendMediaGroup", b"{}", 7)
    >>> counted_cost(10, None, refused=False), counted_cost(10, rest, refused=False)
    (10, 3)
    >>> counted_cost(10, None, refused=True), counted_cost(0, None, refused=True)
    (1, 0)
    """
    if refused:
        return min(cost, 1)
    return cost - (rest.cost if rest else 0)
