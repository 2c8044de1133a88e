"""What follows from each outcome: the one place that decides by it. See ``outcomes`` for where else they are read."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.messages import (
    Again,
    Done,
    Guarantee,
    Hold,
    HoldChat,
    MoveChat,
    Outgoing,
    PauseBot,
    Status,
    counted_cost,
)
from tempogram.engine.model.outcomes import (
    Answer,
    Failed,
    HalfSent,
    Lost,
    Migrated,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
    Unquoted,
    Unready,
)
from tempogram.engine.ports import Fault, Record
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.sending.attempt import Answered, Ruled, Ruling

POISON_AFTER = 3
"""Workers that may be lost while they send one message; then it is given up. untuned: a lost worker is rare, so two
messages seldom meet it twice by chance."""

UNREADY_MS = 250
"""Time after which a message is looked at again that could not be parked; untuned: the database or Redis was away."""


class OutcomePolicy:
    """Decides what becomes of a message, by what Telegram answered."""

    def __init__(self, retries: RetryPolicy, circuit_breaker: CircuitBreaker) -> None:
        self._retries = retries
        self._circuit_breaker = circuit_breaker

    def rule(self, answered: Answered) -> Ruled:
        is_hosts_fault = self._circuit_breaker.is_agreed and answered.is_alive is False
        return answered.ruled(self._ruling(answered), is_hosts_fault=is_hosts_fault)

    def _ruling(self, answered: Answered) -> Ruling:
        match answered.outcome:
            case Sent(telegram_message_id, chat_id=chat_id, removed=removed, item_ids=item_ids):
                return Ruling(
                    Status.SENT,
                    Done(),
                    Fault(code=500, reason=removed) if removed else None,
                    chat_id=chat_id if _is_named(answered.lease.message) else None,
                    telegram_message_id=telegram_message_id,
                    item_ids=item_ids,
                )
            case Throttled(retry_after_ms, reason):
                return Ruling(Status.QUEUED, HoldChat(retry_after_ms), Fault(code=429, reason=reason), refused=True)
            case Rejected(code, reason, unreachable):
                fault = Fault(code=code, reason=reason)
                return Ruling(Status.DEAD, Done(), fault, reason if unreachable else None, refused=True)
            case Unquoted(rest, reason):
                return Ruling(Status.QUEUED, Again(0, spent=False), Fault(code=400, reason=reason), rest=rest)
            case HalfSent() as half:
                ruling = self._ruling(answered.answered(Answer(half.cause, counted_at_ms=None)))
                fault = Fault(code=half.cause.code, reason=half.reason)
                return replace(ruling, fault=fault, delivered_items=half.delivered, rest=half.rest, refused=False)
            case Migrated(to_chat_id):
                fault = Fault(code=400, reason="the chat has a new id")
                return Ruling(Status.QUEUED, MoveChat(to_chat_id), fault, chat_id=to_chat_id, refused=True)
            case Revoked(reason):
                return Ruling(Status.QUEUED, PauseBot(), Fault(code=401, reason=reason), refused=True)
            case Failed(reason, code):
                return self._try_again(answered, Fault(code=code, reason=reason))
            case Uncertain(reason):
                return self._doubt(answered, Fault(code=None, reason=reason))
            case Lost() as lost:
                return self._give_up_poison(answered, lost)
            case Overdue():
                return Ruling(Status.QUEUED, Again(0, spent=False))
            case Unready():
                return Ruling(Status.QUEUED, Again(UNREADY_MS, spent=False))

    def _try_again(self, answered: Answered, fault: Fault) -> Ruling:
        delay_ms = self._retries.delay_ms(answered.lease.attempt)
        if self._is_unspent(answered):
            return Ruling(Status.QUEUED, Again(delay_ms or 0, spent=False), fault)
        if delay_ms is None:
            return Ruling(Status.DEAD, Done(), fault)
        return Ruling(Status.QUEUED, Again(delay_ms), fault)

    def _doubt(self, answered: Answered, fault: Fault) -> Ruling:
        if answered.lease.message.guarantee is Guarantee.AT_MOST_ONCE:
            return Ruling(Status.UNCERTAIN, Done(), fault)
        return self._try_again(answered, fault)

    def _is_unspent(self, answered: Answered) -> bool:
        """Tell whether nothing was written because the host is away: that says nothing of the message."""
        is_unreached = answered.answer.counted_at_ms is None and answered.is_alive is False
        return is_unreached and self._circuit_breaker.is_open

    def _give_up_poison(self, answered: Answered, lost: Lost) -> Ruling:
        """Try again what a lost worker did not finish, unless the message itself may be what ends its workers."""
        is_poison = lost.times >= POISON_AFTER
        if is_poison and answered.lease.message.guarantee is Guarantee.AT_LEAST_ONCE:
            reason = (
                f"given up: {lost.times} workers were lost while they sent it; look at what it holds, then replay it"
            )
            return Ruling(Status.DEAD, Done(), Fault(code=None, reason=reason))
        return self._doubt(answered, Fault(code=None, reason=lost.reason))


def _is_named(message: Outgoing) -> bool:
    return isinstance(message.chat_id, str) and message.chat_id.startswith("@")


def record_of(ruled: Ruled, now_ms: int) -> Record:
    """Return what the ledger is to know of an attempt."""
    message, ruling, then = ruled.lease.message, ruled.ruling, ruled.ruling.then
    is_made = ruled.started_at_ms is not None
    is_spent = is_made and (isinstance(then, Done) or (isinstance(then, Again) and then.spent))
    return Record(
        message_id=message.id,
        bot_id=message.bot_id,
        chat_id=message.chat_id,
        cost=counted_cost(message.cost, ruling.rest, refused=ruling.refused),
        status=ruling.status,
        attempt=ruled.lease.attempt if is_spent else ruled.lease.attempt - 1,
        recorded_at_ms=now_ms,
        ready_at_ms=now_ms + then.delay_ms if isinstance(then, Again) and then.spent else message.ready_at_ms,
        outcome=type(ruled.outcome).__name__.lower() if is_made else None,
        started_at_ms=ruled.started_at_ms,
        counted_at_ms=ruled.answer.counted_at_ms,
        telegram_message_id=ruling.telegram_message_id,
        fault=ruling.fault,
        hold=Hold(message.bot_id, message.chat_id, now_ms + then.retry_after_ms)
        if isinstance(then, HoldChat)
        else None,
        unreachable=ruling.unreachable,
        conversation=conversation_of(message),
        is_paid=message.is_paid,
        migrated_to=ruling.chat_id,
        delivered_items=ruling.delivered_items,
        rest=ruling.rest,
        item_ids=ruling.item_ids,
    )
