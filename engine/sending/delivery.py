"""Sends one message: one that may go now, and one that waited for an hour.

    lease -> mark -> call -> judge -> rule -> record -> settle -> drop -> publish

Every message that leaves passes ``Delivery.deliver``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Done, Guarantee, Hold, Outgoing, PauseBot
from tempogram.engine.model.outcomes import Answer, Outcome, Rejected, Sent, Uncertain, Unready
from tempogram.engine.ports import Broker, Clock, FailingChange, Ledger, Result, Results, Settled, Transport
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.recovery.settings_sync import record_revoked_token
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.batcher import BatchedCalls
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import observed
from tempogram.engine.resilience.retry import Sleep
from tempogram.engine.sending.attempt import Answered, Attempt, Ruled, without_call
from tempogram.engine.sending.failure_log import log_failure
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.history import History
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.engine.sending.lease_retry import LeaseRetry
from tempogram.engine.sending.lost_lease import LostLeases
from tempogram.engine.sending.outcome_policy import OutcomePolicy, record_of

log = structlog.get_logger()


def nothing(_message: Outgoing) -> Sequence[str]:
    """Make nothing needless."""
    return ()


class Delivery:
    """Sends leased messages and writes down what became of them.

    Args:
        conditions: Shows that the ledger is away, for as long as it is.
        circuit_breaker: Of the API's host. The worker asks it before it leases.
        pending_admissions: Admits soon what is left of a message that was delivered in part.
        makes_needless: Returns which ``replaces`` of its chat a message makes needless once it is sent.
        park: Takes a message that is not ready out of its lane; see ``ParkedMessages.park``.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        closer: Closer,
        reachability: Reachability,
        retries: RetryPolicy,
        retry_after_ms_max: int,
        clock: Clock,
        conditions: Conditions,
        circuit_breaker: CircuitBreaker,
        pending_admissions: PendingAdmissions,
        makes_needless: Callable[[Outgoing], Sequence[str]] = nothing,
        park: Callable[[Outgoing], Awaitable[None]] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._closer = closer
        self._makes_needless = makes_needless
        self._park = park
        self._reachability = reachability
        self._retry_after_ms_max = retry_after_ms_max
        self._clock = clock
        self._conditions = conditions
        self.circuit_breaker = circuit_breaker
        self.known_holds = KnownHolds(clock)
        self._policy = OutcomePolicy(retries, circuit_breaker)
        self._settlements = BatchedCalls(broker.settle, batch_max=BATCH_MAX)
        self._retry = LeaseRetry(conditions=conditions, clock=clock, sleep=sleep)
        self._history = History(ledger, self._retry)
        self._lost_leases = LostLeases(
            ledger=ledger,
            broker=broker,
            settlements=self._settlements,
            pending_admissions=pending_admissions,
            retry=self._retry,
            clock=clock,
        )

    async def deliver(self, held: HeldLease, *, on_answer: Callable[[Answered | None], None]) -> Outcome:
        """Send a leased message once, and do what follows from Telegram's answer.

        Args:
            held: A lease that this process holds.
            on_answer: Called once, when the call has ended and its connection is free, before the outcome is
                recorded; None: the call raised an error, which is one of ours.
        """
        answered = None
        try:
            try:
                answered = await self.call(held)
            finally:
                on_answer(answered)
            return await self.conclude(answered)
        except Exception:  # one of ours: the lease runs out, and the message waits for the recoverer
            self._results.waits_again(held.lease.message.id)
            raise

    async def call(self, held: HeldLease) -> Answered:
        """Make a lease's call, once. This half of ``deliver`` needs a connection."""
        try:
            return await self._call(held)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not held.is_cut_off or task is None:
                raise
            task.uncancel()  # the call was cancelled, and what follows from that is still to be done
            return _cut_off(held, self._clock())

    async def conclude(self, answered: Answered) -> Outcome:
        """Do what follows from an answer. Recorded before settling: a crash in between loses nothing."""
        ruled = self._policy.rule(await self._history.judged(answered))
        await self._record(ruled)
        self._note_name(ruled)
        await self._settle(ruled)
        log_failure(ruled)
        if isinstance(ruled.outcome, Unready) and self._park is not None:
            await self._park(ruled.lease.message)
        await self._drop_needless(ruled)
        await self._publish(ruled)
        await self._update_chat(ruled)
        return ruled.outcome

    async def conclude_lost(self, lost: Sequence[HeldLease]) -> None:
        """Conclude calls whose workers lost their leases. See ``LostLeases.conclude``."""
        await self._lost_leases.conclude(lost, self.conclude)

    async def _call(self, held: HeldLease) -> Answered:
        if held.is_cut_off:
            return _cut_off(held, self._clock())
        message = held.lease.message
        self._results.call_begins(message.id)
        refusal = await self._reachability.refusal_in_ledger(message)
        if refusal is not None:
            return Attempt(held, None).answered(Answer(Rejected(403, refusal.reason), counted_at_ms=None))
        attempt = Attempt(held, self._clock())
        if message.guarantee is Guarantee.AT_MOST_ONCE and not await self._mark(message.id):
            return without_call(held)
        return attempt.answered(await self._transport.send(held.lease, held.may_write))

    async def _mark(self, message_id: str) -> bool:
        """Write that an at_most_once call begins; False if the ledger is away, and it must not."""
        try:
            with observed(self._conditions):
                await self._ledger.mark_sending([message_id])
        except LedgerError:
            return False
        return True

    async def _record(self, ruled: Ruled) -> None:
        record = record_of(ruled, self._clock())
        await self._retry.ledger(lambda: self._ledger.record([record]))

    async def _settle(self, ruled: Ruled) -> None:
        # The ledger first: a pause that only the queue knows of would never be ended.
        if isinstance(ruled.ruling.then, PauseBot):
            bot_id = ruled.lease.message.bot_id
            await self._retry.ledger(lambda: record_revoked_token(self._ledger, bot_id))
        settled = await self._retry.broker(ruled.held, lambda: self._settlements.ask(ruled.settlement(self._clock())))
        if settled is not None and not settled.held:
            await self._lost_leases.follow_up(ruled)
        await self._apply_holds(ruled, settled)
        if settled is not None and settled.failing is not None:
            _log_failing(ruled, settled.failing)
        if isinstance(ruled.ruling.then, PauseBot):
            await self._resume_if_valid(ruled)

    async def _drop_needless(self, ruled: Ruled) -> None:
        """Drop the edits of what was deleted, before the caller who deleted it goes on."""
        message = ruled.lease.message
        if not isinstance(ruled.outcome, Sent) or message.chat_id is None:
            return
        if needless := self._makes_needless(message):
            await self._closer.drop(message.bot_id, message.chat_id, needless)

    async def _apply_holds(self, ruled: Ruled, settled: Settled | None) -> None:
        holds = settled.holds if settled is not None else ()
        for hold in holds:
            self.known_holds.note(hold)
            self._log_hold(ruled, hold)
        bot_holds = [hold for hold in holds if hold.chat_id is None]
        if bot_holds:
            await self._retry.ledger(lambda: self._ledger.record_holds(bot_holds, now_ms=self._clock()))

    async def _resume_if_valid(self, ruled: Ruled) -> None:
        """Undo the queue's pause if the ledger's pause has ended before: a valid token came in between."""
        bot_id = ruled.lease.message.bot_id
        if bot_id not in await self._retry.ledger(self._ledger.paused_bots):
            await self._retry.broker(ruled.held, lambda: self._broker.pause(bot_id, paused=False))

    def _log_hold(self, ruled: Ruled, hold: Hold) -> None:
        message = ruled.lease.message
        hold_ms = hold.until_ms - self._clock()
        log.warning("throttled", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)
        if hold_ms > self._retry_after_ms_max:
            log.error("alert", kind="long_hold", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)

    async def _publish(self, ruled: Ruled) -> None:
        if isinstance(ruled.ruling.then, Done):
            await self._results.publish(Result(ruled.lease.message.id, ruled.ruling.status, ruled.outcome))
        else:
            self._results.waits_again(ruled.lease.message.id)

    def _note_name(self, ruled: Ruled) -> None:
        """Know the chat's other id before the queue gives out what waits for it."""
        message, ruling = ruled.lease.message, ruled.ruling
        if message.chat_id is not None and ruling.chat_id is not None:
            self._reachability.rename(message.bot_id, message.chat_id, ruling.chat_id)

    async def _update_chat(self, ruled: Ruled) -> None:
        """Apply what the answer says of the chat: that it takes nothing more, or has another id."""
        message, ruling, conversation = ruled.lease.message, ruled.ruling, conversation_of(ruled.lease.message)
        if message.chat_id is None or conversation is None:
            return
        if ruling.unreachable is not None:
            await self._reachability.mark_unreachable(message.bot_id, conversation, ruling.unreachable)
        if ruling.chat_id is not None:
            old, new = message.chat_id, ruling.chat_id
            await self._retry.broker(ruled.held, lambda: self._broker.migrate(message.bot_id, old, new))


def _log_failing(ruled: Ruled, failing: FailingChange) -> None:
    bot_id, fault = ruled.lease.message.bot_id, ruled.ruling.fault
    if failing.begins:
        reason = "its calls failed" if fault is None else fault.reason
        log.error("bot_failing_began", bot_id=bot_id, reason=reason, after_ms=failing.after_ms)
    else:
        log.warning("bot_failing_ended", bot_id=bot_id, after_ms=failing.after_ms)


def _cut_off(held: HeldLease, now_ms: int) -> Answered:
    """Return what is known of a call that the end of the process has ended: perhaps it arrived."""
    if held.written_at_ms is None:
        return without_call(held)
    answer = Answer(Uncertain("the program ended before its answer came"), counted_at_ms=now_ms)
    return Attempt(held, held.written_at_ms).answered(answer)
