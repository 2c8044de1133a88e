"""What a refusal means by the history of its message: an earlier call may have arrived, or its chat has moved."""

from __future__ import annotations

import structlog

from tempogram.engine.model.messages import Outgoing
from tempogram.engine.model.outcomes import Answer, Doubt, Outcome, Rejected
from tempogram.engine.ports import Ledger
from tempogram.engine.sending.attempt import Answered
from tempogram.engine.sending.lease_retry import LeaseRetry

log = structlog.get_logger()


class History:
    """Judges the few refusals whose words leave a doubt, by what the ledger knows: of any process, before any restart.

    Every other answer costs nothing here.
    """

    def __init__(self, ledger: Ledger, retry: LeaseRetry) -> None:
        self._ledger = ledger
        self._retry = retry

    async def judged(self, answered: Answered) -> Answered:
        """Return the answer with the outcome that it has by its message's history, and without its doubt."""
        match answered.outcome:
            case Rejected(doubt=Doubt() as doubt) as refused:
                outcome = await self._resolved(answered, doubt) or refused.without_doubt()
                return answered.answered(Answer(outcome, answered.answer.counted_at_ms))
            case _:
                return answered

    async def _resolved(self, answered: Answered, doubt: Doubt) -> Outcome | None:
        message = answered.lease.message
        if doubt.if_done is not None and await self._may_have_arrived(message):
            log.info("call_had_arrived", message_id=message.id, method=message.method)
            return doubt.if_done
        if doubt.if_moved is not None and await self._has_moved(message):
            return doubt.if_moved
        return None

    async def _may_have_arrived(self, message: Outgoing) -> bool:
        return await self._retry.ledger(lambda: self._ledger.may_have_arrived(message))

    async def _has_moved(self, message: Outgoing) -> bool:
        return await self._retry.ledger(lambda: self._ledger.has_moved(message))
