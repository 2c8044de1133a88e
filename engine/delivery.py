"""Sends one message: the way that a message goes which may go now, and one that waited for an hour.

    lease -> mark -> send -> judge -> record -> settle -> publish

Each step takes the attempt and returns it with one thing more known.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from engine.insist import Sleep, insist
from engine.messages import (
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
    PausedBy,
    Rest,
    Settlement,
    Status,
    Then,
)
from engine.outcomes import (
    Answer,
    Failed,
    HalfSent,
    Migrated,
    Outcome,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
)
from engine.ports import Broker, Clock, Fault, Ledger, Record, Result, Results, Transport
from engine.reach import Reach
from engine.retry import RetryPolicy

log = structlog.get_logger()


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

    lease: Lease
    started_at_ms: int | None
    answer: Answer | None = None
    ruling: Ruling | None = None

    @property
    def outcome(self) -> Outcome:
        assert self.answer is not None, "an attempt has an outcome once it was sent"  # noqa: S101
        return self.answer.outcome


class Delivery:
    """Sends leased messages and writes down what became of them."""

    def __init__(
        self,
        *,
        transport: Transport,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        reach: Reach,
        retries: RetryPolicy,
        retry_after_ms_max: int,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._reach = reach
        self._retries = retries
        self._retry_after_ms_max = retry_after_ms_max
        self._clock = clock
        self._sleep = sleep

    async def deliver(self, lease: Lease) -> Outcome:
        """Send one message and see it to its end, or back into its lane."""
        lost = self._reach.refusal(lease.message)
        if lost is not None:
            return await self.conclude(Attempt(lease, None, Answer(Rejected(403, lost.reason), counted_at_ms=None)))
        attempt = Attempt(lease, self._clock())
        if lease.message.guarantee is Guarantee.AT_MOST_ONCE:
            await insist(lambda: self._ledger.mark_sending([lease.message.id]), sleep=self._sleep)
        return await self.conclude(replace(attempt, answer=await self._transport.send(lease)))

    async def conclude(self, attempt: Attempt) -> Outcome:
        """Do what follows from an answer. Recorded before settling: a crash in between loses nothing."""
        ruled = replace(attempt, ruling=self._judge(attempt))
        await self._record(ruled)
        await self._settle(ruled)
        await self._publish(ruled)
        await self._learn_of_chat(ruled)
        return ruled.outcome

    def _judge(self, attempt: Attempt) -> Ruling:
        match attempt.outcome:
            case Sent(chat_id=chat_id):
                return Ruling(Status.SENT, Done(), chat_id=chat_id if _is_named(attempt.lease.message) else None)
            case Throttled(retry_after_ms, reason):
                return Ruling(Status.QUEUED, HoldChat(retry_after_ms), Fault(code=429, reason=reason))
            case Rejected(code, reason, unreachable):
                return Ruling(Status.DEAD, Done(), Fault(code=code, reason=reason), reason if unreachable else None)
            case HalfSent() as half:
                ruling = self._judge(replace(attempt, answer=Answer(half.cause, counted_at_ms=None)))
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
            case Overdue():
                return Ruling(Status.QUEUED, Again(0, spent=False))

    def _try_again(self, attempt: Attempt, fault: Fault) -> Ruling:
        delay_ms = self._retries.delay_ms(attempt.lease.attempt)
        if delay_ms is None:
            return Ruling(Status.DEAD, Done(), fault)
        return Ruling(Status.QUEUED, Again(delay_ms), fault)

    def _doubt(self, attempt: Attempt, fault: Fault) -> Ruling:
        if attempt.lease.message.guarantee is Guarantee.AT_MOST_ONCE:
            return Ruling(Status.UNCERTAIN, Done(), fault)
        return self._try_again(attempt, fault)

    async def _record(self, attempt: Attempt) -> None:
        record = record_of(attempt, self._clock())
        await insist(lambda: self._ledger.record([record]), sleep=self._sleep)

    async def _settle(self, attempt: Attempt) -> None:
        assert attempt.ruling is not None, "ruled before it is settled"  # noqa: S101
        counted_at_ms = attempt.answer.counted_at_ms if attempt.answer else None
        age_ms = None if counted_at_ms is None else max(0, self._clock() - counted_at_ms)
        settlement = Settlement(attempt.lease, attempt.ruling.then, age_ms, attempt.ruling.rest)
        (settled,) = await self._broker.settle([settlement])
        if not settled.held:
            log.warning("lease was lost", message_id=attempt.lease.message.id)
        for hold in settled.holds:
            self._tell(attempt, hold)
        bot_holds = [hold for hold in settled.holds if hold.chat_id is None]
        if bot_holds:
            await insist(lambda: self._ledger.record_holds(bot_holds), sleep=self._sleep)
        if isinstance(attempt.ruling.then, PauseBot):
            await self._pause(attempt)

    async def _pause(self, attempt: Attempt) -> None:
        bot_id = attempt.lease.message.bot_id
        is_first = await insist(lambda: self._ledger.pause(bot_id, paused=True, by=PausedBy.TOKEN), sleep=self._sleep)
        if is_first:
            log.error("alert", kind="token_revoked", bot_id=bot_id, way_out="give the bot a valid token")

    def _tell(self, attempt: Attempt, hold: Hold) -> None:
        message = attempt.lease.message
        hold_ms = hold.until_ms - self._clock()
        log.warning("throttled", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)
        if hold_ms > self._retry_after_ms_max:
            log.error("alert", kind="long_hold", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)

    async def _publish(self, attempt: Attempt) -> None:
        assert attempt.ruling is not None, "ruled before it is published"  # noqa: S101
        if isinstance(attempt.ruling.then, Done):
            await self._results.publish(Result(attempt.lease.message.id, attempt.ruling.status, attempt.outcome))

    async def _learn_of_chat(self, attempt: Attempt) -> None:
        message, ruling = attempt.lease.message, attempt.ruling
        assert ruling is not None, "ruled before anything is learned from it"  # noqa: S101
        if message.chat_id is None:
            return
        if ruling.unreachable is not None:
            await self._reach.lose(message.bot_id, message.chat_id, ruling.unreachable)
        if ruling.chat_id is not None:
            self._reach.rename(message.bot_id, message.chat_id, ruling.chat_id)
            await self._broker.migrate(message.bot_id, message.chat_id, ruling.chat_id)


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
