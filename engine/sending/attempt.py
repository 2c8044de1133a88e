"""One try to send one message, as far as it has come; each step is a type of its own.

Attempt -> Answered -> Ruled
"""

from __future__ import annotations

from dataclasses import dataclass

from tempogram.engine.model.messages import ChatId, Lease, Rest, Settlement, Status, Then
from tempogram.engine.model.outcomes import Answer, Failed, Lost, Outcome, Overdue, Uncertain
from tempogram.engine.ports import Fault
from tempogram.engine.sending.held_lease import HeldLease

SERVER_ERRORS = 500
"""The lowest code that shows a fault of the server: in JSON too, as Telegram answers ``restart`` so when it does.

Source: https://github.com/eternnoir/pyTelegramBotAPI/issues/406
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that has begun.

    Attributes:
        started_at_ms: When its call was begun; None: no call is made.
    """

    held: HeldLease
    started_at_ms: int | None

    @property
    def lease(self) -> Lease:
        return self.held.lease

    def answered(self, answer: Answer) -> Answered:
        return Answered(self.held, self.started_at_ms, answer)


@dataclass(frozen=True, slots=True)
class Answered(Attempt):
    """A try whose call has ended, or was not made."""

    answer: Answer

    @property
    def outcome(self) -> Outcome:
        return self.answer.outcome

    @property
    def is_alive(self) -> bool | None:
        """Tell what it shows of Telegram: that it answered, that the call failed, or nothing. See ``Settlement``."""
        if self.held.is_cut_off:  # our own end has ended the call
            return None
        match self.answer:
            case Answer(Failed(code=int(code))):
                return code < SERVER_ERRORS
            case Answer(Failed(is_ours=False) | Uncertain()):
                return False
            case Answer(Lost()):
                return None
            case Answer(counted_at_ms=int()):
                return True
            case _:
                return None

    def ruled(self, ruling: Ruling, *, is_hosts_fault: bool) -> Ruled:
        return Ruled(self.held, self.started_at_ms, self.answer, ruling, is_hosts_fault)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from an outcome: the message's status, what the broker does, and what is to be kept.

    Attributes:
        unreachable: Why its chat takes nothing more, in Telegram's words; None if it may.
        chat_id: The id by which Telegram knows its chat, if it is another one.
        telegram_message_id: Of the sent message.
        item_ids: Of the items of an album.
        delivered_items: How many items of an album arrived, if not all.
        rest: What is left of the message.
        refused: See ``Settlement``.
    """

    status: Status
    then: Then
    fault: Fault | None = None
    unreachable: str | None = None
    chat_id: ChatId | None = None
    telegram_message_id: int | None = None
    delivered_items: int | None = None
    rest: Rest | None = None
    item_ids: tuple[int, ...] = ()
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Ruled(Answered):
    """A try of which it is decided what follows; that is recorded, settled and published."""

    ruling: Ruling
    is_hosts_fault: bool  # the host is away: that it failed tells nothing of its bot or chat

    def settlement(self, now_ms: int) -> Settlement:
        counted_at_ms = self.answer.counted_at_ms
        age_ms = None if counted_at_ms is None else max(0, now_ms - counted_at_ms)
        alive = None if self.is_hosts_fault else self.is_alive
        ruling = self.ruling
        return Settlement(self.lease, ruling.then, age_ms, ruling.rest, alive, ruling.refused)


def without_call(held: HeldLease) -> Answered:
    """Return a try that made no call: the message goes back to its lane as it was."""
    return Attempt(held, None).answered(Answer(Overdue(), counted_at_ms=None))
