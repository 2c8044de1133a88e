"""Sends one message: the way that a message goes which may go now, and one that waited for an hour.

    lease -> mark -> send -> judge -> record -> settle -> publish

Each step takes the attempt and returns it with one thing more known. ``call`` needs a connection, ``conclude`` none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import (
    Done,
    Guarantee,
    Hold,
    HoldChat,
    Lease,
    PastSend,
    PauseBot,
    PausedBy,
    Settlement,
    Spent,
)
from tempogram.engine.model.outcomes import Answer, Lost, Outcome, Overdue, Rejected, Uncertain
from tempogram.engine.ports import Broker, Clock, Ledger, Result, Results, Settled, Transport
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import RETRY_S, Sleep, observed, retry_write
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.outcome_policy import Attempt, OutcomePolicy, Ruling, record_of
from tempogram.engine.sending.settle_batcher import SettleBatcher

log = structlog.get_logger()

SURELY_MS = 10_000
"""So long after its deadline a lease that cannot be settled is left to others; no two clocks agree. A guess."""

Said = TypeVar("Said")


class Delivery:
    """Sends leased messages and writes down what became of them.

    Args:
        conditions: Shows that the ledger is away, for as long as it is.
        circuit_breaker: Of the API's host. The worker asks it before it leases.
        pending_admissions: Admits soon what is left of a message that was delivered in part.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        reachability: Reachability,
        retries: RetryPolicy,
        retry_after_ms_max: int,
        clock: Clock,
        conditions: Conditions,
        circuit_breaker: CircuitBreaker,
        pending_admissions: PendingAdmissions,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._reachability = reachability
        self._retry_after_ms_max = retry_after_ms_max
        self._clock = clock
        self._conditions = conditions
        self.circuit_breaker = circuit_breaker
        self._judge = OutcomePolicy(retries, circuit_breaker)
        self._settlements = SettleBatcher(broker)
        self._pending_admissions = pending_admissions
        self._sleep = sleep

    async def call(self, held: HeldLease) -> Attempt:
        """Make a lease's call, once. What comes of it is to be concluded."""
        lost = await self._reachability.refusal_in_books(held.lease.message)
        if lost is not None:
            return Attempt(held, None, Answer(Rejected(403, lost.reason), counted_at_ms=None))
        started_at_ms = self._clock()
        if held.lease.message.guarantee is Guarantee.AT_MOST_ONCE and not await self._mark(held.lease):
            return _uncalled(held)
        return Attempt(held, started_at_ms, await self._transport.send(held.lease, held.may_write))

    def cut_off(self, held: HeldLease) -> Attempt:
        """Return what is to be concluded of a call that was ended from outside: perhaps it arrived."""
        if held.written_at_ms is None:
            return _uncalled(held)
        answer = Answer(Uncertain("the program ended before its answer came"), counted_at_ms=self._clock())
        return Attempt(held, held.written_at_ms, answer)

    async def conclude(self, attempt: Attempt) -> Outcome:
        """Do what follows from an answer. Recorded before settling: a crash in between loses nothing."""
        ruled = Attempt(attempt.held, attempt.started_at_ms, attempt.answer, self._judge.rule(attempt))
        await self._record(ruled)
        await self._settle(ruled)
        await self._publish(ruled)
        await self._learn_of_chat(ruled)
        return ruled.outcome

    async def conclude_lost(self, lost: Sequence[HeldLease]) -> None:
        """Conclude calls whose workers lost their leases.

        Raises:
            LedgerError: It cannot be read, and nothing is concluded: these leases run out, too.
        """
        message_ids = [held.lease.message.id for held in lost]
        waiting = {message.id for message in await self._ledger.open_among(message_ids)}
        times_lost = await self._ledger.times_lost(message_ids)
        await asyncio.gather(
            *(
                self._conclude_lost(held, times=times + 1, is_open=held.lease.message.id in waiting)
                for held, times in zip(lost, times_lost, strict=True)
            )
        )

    async def _conclude_lost(self, held: HeldLease, *, times: int, is_open: bool) -> None:
        lease, now_ms = held.lease, self._clock()
        attempt = Attempt(held, now_ms, Answer(Lost(times), counted_at_ms=now_ms))
        if is_open or lease.message.guarantee is Guarantee.AT_MOST_ONCE:
            await self.conclude(attempt)
            return
        # The ledger has its end, and only the settling was missed: to try it again would be to send it twice.
        await self._ask_broker(held, lambda: self._settlements.settle(Settlement(lease, Done(), counted_age_ms=0)))

    async def _mark(self, lease: Lease) -> bool:
        """Write that an at_most_once call begins; False if the ledger is away, and it must not."""
        try:
            with observed(self._conditions):
                await self._ledger.mark_sending([lease.message.id])
        except LedgerError:
            return False
        return True

    async def _record(self, attempt: Attempt) -> None:
        record = record_of(attempt, self._clock())
        await self._insist(lambda: self._ledger.record([record]))

    async def _settle(self, attempt: Attempt) -> None:
        # The books first: what the schedule alone has paused, nobody would ever let go on.
        if isinstance(_ruling(attempt).then, PauseBot):
            await self._pause(attempt)
        settled = await self._ask_broker(attempt.held, lambda: self._settlements.settle(self._settlement(attempt)))
        if settled is not None and not settled.held:
            await self._follow_up(attempt)
        await self._apply_holds(attempt, settled)
        if isinstance(_ruling(attempt).then, PauseBot):
            await self._let_go_on(attempt)

    def _settlement(self, attempt: Attempt) -> Settlement:
        ruling, counted_at_ms = _ruling(attempt), attempt.answer.counted_at_ms if attempt.answer else None
        age_ms = None if counted_at_ms is None else max(0, self._clock() - counted_at_ms)
        return Settlement(attempt.lease, ruling.then, age_ms, ruling.rest)

    async def _ask_broker(self, held: HeldLease, ask: Callable[[], Awaitable[Said]]) -> Said | None:
        """Return what the broker says once it is there; None if the lease has run out for sure before.

        Then the recoverer decides, or whoever rebuilds the schedule; the ledger knows the outcome.
        """
        while True:
            try:
                return await ask()
            except BrokerUnavailable as error:
                if self._clock() > held.until_ms + SURELY_MS:
                    log.warning("left unsettled", message_id=held.lease.message.id, error=str(error))
                    return None
                await self._sleep(RETRY_S)

    async def _follow_up(self, attempt: Attempt) -> None:
        """Tell a schedule that has a copy of the message, because the lease was lost, what it cannot know of it."""
        message, then, rest, held = attempt.lease.message, _ruling(attempt).then, _ruling(attempt).rest, attempt.held
        log.warning("lease was lost", message_id=message.id)
        if rest is not None or (isinstance(then, Done) and not await self._is_open(message.id)):
            # The copy is of the whole message, though nothing is left to be sent, or not all.
            await self._ask_broker(held, lambda: self._broker.cancel([message.id]))  # False: it is sent twice
        if isinstance(then, HoldChat):
            hold = Hold(message.bot_id, message.chat_id, self._clock() + then.retry_after_ms)
            await self._ask_broker(held, lambda: self._broker.hold([hold]))
        counted_at_ms = attempt.answer.counted_at_ms if attempt.answer else None
        if counted_at_ms is not None:
            cost = self._settlement(attempt).counted_cost
            send = PastSend(message.bot_id, message.chat_id, counted_at_ms, cost, message.is_paid)
            spent = [Spent(message.bot_id, counted_at_ms, cost)] if message.is_paid else []
            await self._ask_broker(held, lambda: self._broker.note([send], spent=spent))
        if rest is not None:
            self._pending_admissions.note([message.id])  # the ledger has what is left of it, if anything

    async def _is_open(self, message_id: str) -> bool:
        """Tell whether a message is to be sent: one that has ended may have been replayed since."""
        return bool(await self._insist(lambda: self._ledger.open_among([message_id])))

    async def _apply_holds(self, attempt: Attempt, settled: Settled | None) -> None:
        holds = settled.holds if settled is not None else ()
        for hold in holds:
            self._tell(attempt, hold)
        bot_holds = [hold for hold in holds if hold.chat_id is None]
        if bot_holds:
            await self._insist(lambda: self._ledger.record_holds(bot_holds))

    async def _pause(self, attempt: Attempt) -> None:
        bot_id = attempt.lease.message.bot_id
        is_first = await self._insist(lambda: self._ledger.pause(bot_id, paused=True, by=PausedBy.TOKEN))
        if is_first:
            log.error("alert", kind="token_revoked", bot_id=bot_id, way_out="give the bot a valid token")

    async def _let_go_on(self, attempt: Attempt) -> None:
        """Undo the schedule's pause if the books' pause has ended before: a valid token came in between."""
        bot_id = attempt.lease.message.bot_id
        if bot_id not in await self._insist(self._ledger.paused_bots):
            await self._ask_broker(attempt.held, lambda: self._broker.pause(bot_id, paused=False))

    def _tell(self, attempt: Attempt, hold: Hold) -> None:
        message = attempt.lease.message
        hold_ms = hold.until_ms - self._clock()
        log.warning("throttled", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)
        if hold_ms > self._retry_after_ms_max:
            log.error("alert", kind="long_hold", bot_id=message.bot_id, chat_id=hold.chat_id, hold_ms=hold_ms)

    async def _publish(self, attempt: Attempt) -> None:
        ruling = _ruling(attempt)
        if isinstance(ruling.then, Done):
            await self._results.publish(Result(attempt.lease.message.id, ruling.status, attempt.outcome))

    async def _learn_of_chat(self, attempt: Attempt) -> None:
        message, ruling = attempt.lease.message, _ruling(attempt)
        if message.chat_id is None:
            return
        if ruling.unreachable is not None:
            await self._reachability.lose(message.bot_id, message.chat_id, ruling.unreachable)
        if ruling.chat_id is not None:
            self._reachability.rename(message.bot_id, message.chat_id, ruling.chat_id)
            old, new = message.chat_id, ruling.chat_id
            await self._ask_broker(attempt.held, lambda: self._broker.migrate(message.bot_id, old, new))

    async def _insist(self, write: Callable[[], Awaitable[Said]]) -> Said:
        return await retry_write(write, sleep=self._sleep, conditions=self._conditions)


def _uncalled(held: HeldLease) -> Attempt:
    """Return the attempt that was none: the message goes back as it was."""
    return Attempt(held, None, Answer(Overdue(), counted_at_ms=None))


def _ruling(attempt: Attempt) -> Ruling:
    assert attempt.ruling is not None, "ruled before anything follows from it"  # noqa: S101
    return attempt.ruling
