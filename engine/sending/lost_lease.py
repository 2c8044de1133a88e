"""What follows when a lease was lost: the broker has the message waiting again, or has leased it to another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tempogram.engine.model.messages import Done, Guarantee, Hold, HoldChat, PastSend, Settlement, Spent
from tempogram.engine.model.outcomes import Answer, Lost, Outcome
from tempogram.engine.ports import Broker, Clock, Ledger, Settled
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.batcher import BatchedCalls
from tempogram.engine.sending.attempt import Answered, Attempt, Ruled
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.lease_retry import LeaseRetry

log = structlog.get_logger()


class LostLeases:
    """Two sides of it: this process answers for a call whose lease it lost, or recovers a lease that another lost.

    Args:
        pending_admissions: Admits soon what is left of a message that was delivered in part.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        settlements: BatchedCalls[Settlement, Settled],
        pending_admissions: PendingAdmissions,
        retry: LeaseRetry,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._settlements = settlements
        self._pending_admissions = pending_admissions
        self._retry = retry
        self._clock = clock

    async def follow_up(self, ruled: Ruled) -> None:
        """Report the outcome of a call to a queue that refused its settlement and may have a copy of the message."""
        message, ruling, held, counted_at_ms = ruled.lease.message, ruled.ruling, ruled.held, ruled.answer.counted_at_ms
        log.warning("lease_lost", message_id=message.id)
        if ruling.rest is not None or (isinstance(ruling.then, Done) and not await self._is_open(message.id)):
            # The copy is of the whole message, though nothing is left to be sent, or not all.
            await self._retry.broker(held, lambda: self._broker.cancel([message.id]))  # False: it is sent twice
        if isinstance(ruling.then, HoldChat):
            hold = Hold(message.bot_id, message.chat_id, self._clock() + ruling.then.retry_after_ms)
            await self._retry.broker(held, lambda: self._broker.hold([hold]))
        if counted_at_ms is not None and message.cost:
            cost = ruled.settlement(counted_at_ms).counted_cost
            send = PastSend(message.bot_id, message.chat_id, counted_at_ms, cost, message.is_paid)
            spent = [Spent(message.bot_id, counted_at_ms, cost)] if message.is_paid else []
            await self._retry.broker(held, lambda: self._broker.note([send], spent=spent))
        if ruling.rest is not None:
            self._pending_admissions.note([message.id])  # the ledger has what is left of it, if anything

    async def conclude(self, lost: Sequence[HeldLease], conclude: Callable[[Answered], Awaitable[Outcome]]) -> None:
        """Conclude calls whose workers lost their leases, and which may have been made.

        Raises:
            LedgerError: It cannot be read, and nothing is concluded: these leases run out, too.
        """
        message_ids = [held.lease.message.id for held in lost]
        waiting = {message.id for message in await self._ledger.open_among(message_ids)}
        times_lost = await self._ledger.times_lost(message_ids)
        work: list[Awaitable[object]] = []
        for held, times in zip(lost, times_lost, strict=True):
            message, now_ms = held.lease.message, self._clock()
            if message.id in waiting or message.guarantee is Guarantee.AT_MOST_ONCE:
                attempt = Attempt(held, now_ms)
                work.append(conclude(attempt.answered(Answer(Lost(times + 1), counted_at_ms=now_ms))))
            else:
                work.append(self._settle_ended(held))
        await asyncio.gather(*work)

    async def _settle_ended(self, held: HeldLease) -> None:
        """End a lease whose message has ended in the ledger, so that only the settling was missed."""
        done = Settlement(held.lease, Done(), counted_age_ms=0)
        await self._retry.broker(held, lambda: self._settlements.ask(done))

    async def _is_open(self, message_id: str) -> bool:
        """Tell whether a message is to be sent: one that has ended may have been replayed since."""
        return bool(await self._retry.ledger(lambda: self._ledger.open_among([message_id])))
