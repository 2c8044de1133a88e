"""What follows from each outcome, and what the ledger is to know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tempogram.engine.model.messages import (
    Again,
    ChatId,
    Done,
    Guarantee,
    Hold,
    HoldChat,
    Lease,
    MoveChat,
    Outgoing,
    PauseBot,
    Rest,
    Status,
    Then,
)
from tempogram.engine.model.outcomes import (
    Answer,
    Failed,
    HalfSent,
    Lost,
    Migrated,
    Outcome,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
)
from tempogram.engine.ports import Fault, Record
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker, State
from tempogram.engine.sending.held_lease import HeldLease

POISON_AFTER = 3
"""So many workers may be lost while they send one message; then it is given up. A guess."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from an outcome: the message's status, what the broker does, and what is to be kept.

    Attributes:
        unreachable: Why its chat takes nothing more, in Telegram's words; None if it may.
        chat_id: The id by which Telegram knows its chat, if it is another one.
        rest: What is left of the message.
    """

    status: Status
    then: Then
    fault: Fault | None = None
    unreachable: str | None = None
    chat_id: ChatId | None = None
    rest: Rest | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to send one message, as far as it has come. ``started_at_ms`` None: no call was made."""

    held: HeldLease
    started_at_ms: int | None
    answer: Answer | None = None
    ruling: Ruling | None = None

    @property
    def lease(self) -> Lease:
        return self.held.lease

    @property
    def outcome(self) -> Outcome:
        assert self.answer is not None, "an attempt has an outcome once it was sent"  # noqa: S101
        return self.answer.outcome

    @property
    def is_host_alive(self) -> bool | None:
        """What it says of the API's host: any answer of Telegram's is one; None if it says nothing."""
        match self.answer:
            case Answer(Failed(code=int(code))):
                return code < 500
            case Answer(Failed(is_ours=False) | Uncertain()):
                return False
            case Answer(counted_at_ms=int()):
                return True
            case _:
                return None


class OutcomePolicy:
    """The one who matches outcomes."""

    def __init__(self, retries: RetryPolicy, circuit_breaker: CircuitBreaker) -> None:
        self._retries = retries
        self._circuit_breaker = circuit_breaker

    def rule(self, attempt: Attempt) -> Ruling:
        match attempt.outcome:
            case Sent(chat_id=chat_id):
                return Ruling(Status.SENT, Done(), chat_id=chat_id if _is_named(attempt.lease.message) else None)
            case Throttled(retry_after_ms, reason):
                return Ruling(Status.QUEUED, HoldChat(retry_after_ms), Fault(code=429, reason=reason))
            case Rejected(code, reason, unreachable):
                return Ruling(Status.DEAD, Done(), Fault(code=code, reason=reason), reason if unreachable else None)
            case HalfSent() as half:
                ruling = self.rule(replace(attempt, answer=Answer(half.cause, counted_at_ms=None)))
                return replace(ruling, fault=Fault(code=half.cause.code, reason=half.reason), rest=half.rest)
            case Migrated(to_chat_id):
                fault = Fault(code=400, reason="the chat has a new id")
                return Ruling(Status.QUEUED, MoveChat(to_chat_id), fault, chat_id=to_chat_id)
            case Revoked(reason):
                return Ruling(Status.QUEUED, PauseBot(), Fault(code=401, reason=reason))
            case Failed(reason, code):
                return self._try_again(attempt, Fault(code=code, reason=reason))
            case Uncertain(reason):
                return self._doubt(attempt, Fault(code=None, reason=reason))
            case Lost() as lost:
                return self._give_up_poison(attempt, lost)
            case Overdue():
                return Ruling(Status.QUEUED, Again(0, spent=False))

    def _try_again(self, attempt: Attempt, fault: Fault) -> Ruling:
        delay_ms = self._retries.delay_ms(attempt.lease.attempt)
        if self._is_hosts_fault(attempt):
            return Ruling(Status.QUEUED, Again(delay_ms or 0, spent=False), fault)
        if delay_ms is None:
            return Ruling(Status.DEAD, Done(), fault)
        return Ruling(Status.QUEUED, Again(delay_ms), fault)

    def _doubt(self, attempt: Attempt, fault: Fault) -> Ruling:
        if attempt.lease.message.guarantee is Guarantee.AT_MOST_ONCE:
            return Ruling(Status.UNCERTAIN, Done(), fault)
        return self._try_again(attempt, fault)

    def _is_hosts_fault(self, attempt: Attempt) -> bool:
        """Tell whether nothing was written because the host is away: that says nothing of the message."""
        is_unwritten = attempt.answer is not None and attempt.answer.counted_at_ms is None
        return is_unwritten and attempt.is_host_alive is False and self._circuit_breaker.state is not State.CLOSED

    def _give_up_poison(self, attempt: Attempt, lost: Lost) -> Ruling:
        """Try again what its worker did not live to finish, unless it may be what its workers die of."""
        is_poison = lost.times >= POISON_AFTER
        if is_poison and attempt.lease.message.guarantee is Guarantee.AT_LEAST_ONCE:
            reason = (
                f"given up: {lost.times} workers were lost while they sent it; look at what it holds, then replay it"
            )
            return Ruling(Status.DEAD, Done(), Fault(code=None, reason=reason))
        return self._doubt(attempt, Fault(code=None, reason=lost.reason))


def _is_named(message: Outgoing) -> bool:
    return isinstance(message.chat_id, str) and message.chat_id.startswith("@")


def record_of(attempt: Attempt, now_ms: int) -> Record:
    """Return what the ledger is to know of an attempt that was ruled."""
    lease, answer, ruling = attempt.lease, attempt.answer, attempt.ruling
    assert answer is not None, "sent before it is recorded"  # noqa: S101
    assert ruling is not None, "ruled before it is recorded"  # noqa: S101
    message, then = lease.message, ruling.then
    is_made = attempt.started_at_ms is not None
    is_spent = is_made and (isinstance(then, Done) or (isinstance(then, Again) and then.spent))
    return Record(
        message_id=message.id,
        bot_id=message.bot_id,
        chat_id=message.chat_id,
        cost=message.cost - (ruling.rest.cost if ruling.rest else 0),
        status=ruling.status,
        attempt=lease.attempt if is_spent else lease.attempt - 1,
        recorded_at_ms=now_ms,
        ready_at_ms=now_ms + then.delay_ms if isinstance(then, Again) and then.spent else message.ready_at_ms,
        outcome=type(attempt.outcome).__name__.lower() if is_made else None,
        started_at_ms=attempt.started_at_ms,
        counted_at_ms=answer.counted_at_ms,
        telegram_message_id=attempt.outcome.telegram_message_id if isinstance(attempt.outcome, Sent) else None,
        fault=ruling.fault,
        hold=Hold(message.bot_id, message.chat_id, now_ms + then.retry_after_ms)
        if isinstance(then, HoldChat)
        else None,
        unreachable=ruling.unreachable,
        is_paid=message.is_paid,
        migrated_to=ruling.chat_id,
        delivered_items=attempt.outcome.delivered if isinstance(attempt.outcome, HalfSent) else None,
        rest=ruling.rest,
    )
