"""The lasting record of every message and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tempogram.engine.model.messages import (
    BotChat,
    ChatId,
    Hold,
    Outgoing,
    PastSend,
    PausedBy,
    Priority,
    Rest,
    Spent,
    Status,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is in the ledger now, and was not before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, in Telegram's words or ours. ``code`` is HTTP's, None where there was no answer."""

    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """Where a message stands that was accepted before.

    ``add`` answers so if it had the same ``dedup_key`` and bot; nothing was written then.

    Attributes:
        fault: Why it was not sent, or not yet; of a message that was sent, why nothing is left of it. Only
            ``standings`` looks it up.
        item_ids: Telegram's numbers of an album's items; only ``standings`` looks them up.
    """

    message_id: str
    status: Status
    telegram_message_id: int | None = None
    fault: Fault | None = None
    item_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of a message: an attempt that was made, or an end without one.

    Attributes:
        status: Of the message from now on.
        attempt: How many attempts are spent by now.
        ready_at_ms: When it is tried again, for one that goes on.
        outcome: The name of the outcome, for the row in ``attempts``; None if no call was made.
        started_at_ms: When the call was begun; None if no call was made.
        counted_at_ms: When Telegram counted it; None if nothing was written.
        telegram_message_id: Of the sent message.
        item_ids: Of the items of an album, as far as they are known: those of the last call that sent any.
        fault: For everything but a success; of a success, why nothing is left of it.
        hold: Begins with it, in the same commit.
        unreachable: Why its conversation takes nothing more until something comes from there, in Telegram's words;
            None if it may.
        conversation: Its name, where it is not the chat; see ``conversations``.
        migrated_to: The chat's new id; its open messages move, in the same commit.
        is_paid: The call was made as a paid one.
        delivered_items: How many items arrived of an album that did not arrive as a whole.
        rest: What is to be sent in place of the message from now on, in the same commit.
    """

    message_id: str
    bot_id: int
    chat_id: ChatId | None
    cost: int
    status: Status
    attempt: int
    recorded_at_ms: int
    ready_at_ms: int = 0
    outcome: str | None = None
    started_at_ms: int | None = None
    counted_at_ms: int | None = None
    telegram_message_id: int | None = None
    fault: Fault | None = None
    hold: Hold | None = None
    unreachable: str | None = None
    conversation: ChatId | None = None
    migrated_to: ChatId | None = None
    is_paid: bool = False
    delivered_items: int | None = None
    rest: Rest | None = None
    item_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """How many messages are open, each counted once. ``retry`` = tried, and waiting to be tried again."""

    waiting: Mapping[Priority, int]
    retry: int


BOT_CHATS_MAX = 500
"""Chats in one ``reach_of``."""


class Alias(NamedTuple):
    """Another name of a chat: the id by which the chat is known, and when that was learned; 0: long ago."""

    bot_id: int
    name: ChatId
    chat_id: ChatId
    since_ms: int


class Ledger(Protocol):
    """The truth. Every method returns after its commit; calls that meet share one (group commit).

    All raise ``LedgerError`` when the database refuses or cannot be reached. Then nothing was written, or all of it
    and only the answer was lost; each may be called again with the same. (``record`` and ``presume`` then may write an
    attempt twice: a place counts twice for one window after a restart, which errs to the safe side.)
    """

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        """Write messages as ``queued``; one answer each, in their order. Added again, it is ``Accepted`` again."""

    async def known(self, messages: Sequence[Outgoing]) -> list[Known | None]:
        """Look up each message's ``dedup_key``; None if it was not accepted before. Nothing is written."""

    async def standings(self, message_ids: Sequence[str]) -> list[Known | None]:
        """Return where messages stand, in their order; None for one that is not kept."""

    async def discard(self, message_ids: Sequence[str]) -> None:
        """Remove messages that were added and then not admitted; their callers got an error."""

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        """Write that an at_most_once call begins, so that a crash cannot repeat it."""

    async def record(self, records: Sequence[Record]) -> None:
        """Write what became of messages, and when something was last sent to their chats.

        What is final loses its payload.
        """

    async def end_many(self, message_ids: Sequence[str], *, status: Status, fault: Fault, now_ms: int) -> None:
        """End messages without a call, all in the same way; one that has ended stays as it is.

        What is final loses its payload. For many at a time: several times as fast as ``record``.
        """

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:
        """End a queued message as cancelled; False if it has another end, is being sent, or is not there.

        Ask the broker to forget it first. Called again, because an answer was lost, it is True again.
        """

    async def amend(self, messages: Sequence[Outgoing]) -> None:
        """Write what messages that wait are from now on: these ``method``, ``params`` and ``ready_at_ms``.

        One may keep its content or its time, as in ``Broker.amend``.
        Ask the broker first (see ``Broker.amend``), and amend here what it has amended. One that was sent meanwhile
        stays as it is; one that is dead by now takes the content with which it was refused, since it can be replayed.
        One of another cost, of which a part was sent, stays as it is, too, and one that has spent an attempt keeps
        its time.
        """

    async def record_holds(self, holds: Sequence[Hold], *, now_ms: int) -> None:
        """Write holds that did not come with a record; a later deadline replaces an earlier one."""

    async def follow_clock(self, now_ms: int) -> int:
        """Return by how much the clock that wrote this was ahead, if it was set back since by ``SET_BACK_MS``; else 0.

        Then no hold lasts longer from now on than it would have after the last that was written, and nothing that
        failed waits for its retry until that time comes again. (What was sent is for ``sends_since``.)
        """

    async def open_messages(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[Outgoing]:
        """Return queued messages, of one bot or of all, in the order of their ids, ``limit`` a page.

        They bear the attempts that they spent.
        """

    async def open_ids(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[str]:
        """Return the ids of queued messages, in order, ``limit`` a page; of one bot, or with one tag, if given."""

    async def open_counts(self) -> OpenCounts:
        """Count open messages, as ``Broker.stats`` does where nothing is in flight.

        Cost: O(open messages); some seconds for a million.
        """

    async def last_id(self) -> str:
        """Return the highest id of all messages that are kept, and '' if there is none."""

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        """Return those of them that are queued, as ``open_messages`` does."""

    async def times_lost(self, message_ids: Sequence[str]) -> list[int]:
        """Count for each how often its lease was lost, as its attempts say (``Lost``)."""

    async def may_have_arrived(self, message: Outgoing) -> bool:
        """Tell whether an earlier call of a message may have had its effect, though no answer said so.

        So it is after an attempt that was uncertain, lost or answered by a failure of the host, and for what waited
        when the queue was rebuilt: the process that ended may have made its call.
        """

    async def has_moved(self, message: Outgoing) -> bool:
        """Tell whether a message was submitted to a group that has another id by now."""

    async def settle_interrupted(self, now_ms: int, *, longer_than_ms: int = 0) -> int:
        """Make ``sending`` messages ``uncertain``, and return how many: all of them only when none can be sending.

        While other processes may be sending, only those marked longer ago than a call and its lease can last. The
        places that they may have taken count as taken at ``now_ms``.
        """

    async def presume(self, sends: Sequence[PastSend]) -> None:
        """Write places that may be taken, by calls that were perhaps made."""

    async def sends_since(self, since_ms: int, *, now_ms: int) -> list[PastSend]:
        """Return what Telegram counted, or may have counted, at or after a time; nothing that takes no place.

        What a clock that was ahead has written for times after ``now_ms``, perhaps for an hour, is one send of each
        chat, at the last of these times.
        """

    async def ended_since(self, since_ms: int) -> list[str]:
        """Return what has ended by a call that Telegram counted, or may have counted, at or after a time."""

    async def spent_since(self, since_ms: int) -> list[Spent]:
        """Sum up, by bot and by minutes at most, what went as paid at or after a time."""

    async def holds(self, now_ms: int) -> list[Hold]:
        """Return the holds that still stand."""

    async def paused_bots(self) -> list[int]:
        """Return the bots that must send nothing: paused, or removed."""

    async def aliases(self) -> list[Alias]:
        """Return every other name of a chat."""

    async def unreachable_chats(self, *, limit: int) -> list[tuple[int, ChatId, str]]:
        """Return every bot id and conversation that takes nothing more, and why."""

    async def reach_of(self, bot_chats: Collection[BotChat]) -> dict[BotChat, tuple[ChatId | None, str | None]]:
        """Return the id that each of these chats has now, if it is another, and why it takes nothing more.

        At most ``BOT_CHATS_MAX`` of them. A chat that is missing from the answer may be tried.
        """

    async def open_of_chat(self, bot_id: int, chat_id: ChatId, *, after_id: str, limit: int) -> list[Outgoing]:
        """Return a chat's queued messages as ``open_messages`` does, those under its other names too."""

    async def weights(self) -> dict[int, int]:
        """Return the bots whose weight is not 1."""

    async def pause(self, bot_id: int, *, paused: bool, by: PausedBy = PausedBy.OPERATOR) -> bool:
        """Write that a bot sends nothing, or does again; False if that changed nothing.

        An operator's word always counts. A token neither pauses a bot that is paused, nor resumes one that an
        operator has paused.
        """
