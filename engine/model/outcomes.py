"""What Telegram answered, as values.

What becomes of a message is decided by its outcome in ``sending.outcome_policy`` alone. Elsewhere an outcome is only
made (``bot/telegram``, ``sending``, ``closing.reachability``), counted (``observability.metrics``), sent to the
caller's process (``channels.results_codec``), and there turned into aiogram's answer or exception
(``bot/calls/answers``), or into the Bot API's (``bot/door/answers``).

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tempogram.engine.model.messages import Rest


@dataclass(frozen=True, slots=True)
class Sent:
    """Done. ``body`` is the whole answer as it came, decoded only when a caller waits for it.

    ``item_ids``: Telegram's numbers of the items of an album.
    ``removed``: it was sent, and the chat's own rules removed it at once; Telegram's words for it.
    """

    telegram_message_id: int | None
    body: bytes = b""
    chat_id: int | None = None
    removed: str = ""
    item_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Throttled:
    """429, also when it hides in a 400: not before ``retry_after_ms``."""

    retry_after_ms: int
    reason: str = "Too Many Requests"

    @property
    def code(self) -> int:
        return 429


@dataclass(frozen=True, slots=True)
class Rejected:
    """Never, not even later. ``unreachable``: the chat takes nothing more until a user writes there again.

    ``doubt``: it may mean another outcome, until the message's history is known (``sending.history``).
    """

    code: int
    reason: str
    unreachable: bool = False
    doubt: Doubt | None = None

    def without_doubt(self) -> Rejected:
        return replace(self, doubt=None)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a refusal means by its message's history.

    Attributes:
        if_done: If an earlier call of the same message may have had its effect.
        if_moved: If its chat has got another id since it was submitted.
    """

    if_done: Sent | None = None
    if_moved: Unquoted | Rejected | None = None


@dataclass(frozen=True, slots=True)
class Unquoted:
    """The message that it replies to stayed in the group that its chat was: ``rest`` is sent instead, without it."""

    rest: Rest
    reason: str


@dataclass(frozen=True, slots=True)
class HalfSent:
    """The first ``delivered`` items of an album arrived. The rest did not, and ``cause`` says why."""

    delivered: int
    rest: Rest
    cause: Throttled | Rejected | Failed

    @property
    def reason(self) -> str:
        count = self.delivered + self.rest.cost
        return f"the first {self.delivered} of {count} items were delivered, the others were not: {self.cause.reason}"


@dataclass(frozen=True, slots=True)
class Migrated:
    """The group has become a supergroup with another id."""

    to_chat_id: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """The bot's token is not valid any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Not done: a 5xx, or no connection. Try again. ``is_ours``: Telegram had no part in the failure."""

    reason: str
    code: int | None = None
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The bytes left and no answer came: perhaps delivered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker that held its lease was killed, froze or was cut off: perhaps delivered. ``times``: with this one."""

    times: int

    @property
    def reason(self) -> str:
        return "its worker lost the lease"


@dataclass(frozen=True, slots=True)
class Overdue:
    """The lease had run out, or the call was given up, before the bytes left; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Unready:
    """What it refers to is not sent yet, so no call was made; it goes back to wait for that, outside of its lane."""


Outcome = (
    Sent
    | Throttled
    | Rejected
    | Unquoted
    | HalfSent
    | Migrated
    | Revoked
    | Failed
    | Uncertain
    | Lost
    | Overdue
    | Unready
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome, and when Telegram counted the call at the latest.

    Attributes:
        counted_at_ms: On this process's clock, rounded down. None: nothing was written.
    """

    outcome: Outcome
    counted_at_ms: int | None
