"""Asks the ledger and the broker for as long as it makes sense while a lease is held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep, retry
from tempogram.engine.sending.held_lease import HeldLease

log = structlog.get_logger()

BROKER_RETRY_S = 1.0
"""Between two tries while the broker is away. untuned: the heartbeat keeps the lease meanwhile."""

SURELY_MS = 10_000
"""Extra wait beyond the lease deadline before we stop trying to settle (clock skew). untuned: a message that is left
unsettled only waits for the recoverer."""

Answer = TypeVar("Answer")


class LeaseRetry:
    """The ledger is asked until it answers, the broker until the lease has surely run out."""

    def __init__(self, *, conditions: Conditions, clock: Clock, sleep: Sleep) -> None:
        self._conditions = conditions
        self._clock = clock
        self._sleep = sleep

    async def ledger(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        return await retry_ledger(ask, conditions=self._conditions, sleep=self._sleep)

    async def broker(self, held: HeldLease, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return the broker's answer; None if it stayed away until the lease had run out for sure.

        Then the recoverer decides, or a rebuild of the queue; the ledger knows the outcome.
        """
        try:
            return await retry(
                ask,
                on=BrokerUnavailable,
                pause_s=BROKER_RETRY_S,
                give_up=lambda: self._clock() > held.until_ms + SURELY_MS,
                sleep=self._sleep,
            )
        except BrokerUnavailable as error:
            log.warning("lease_left_unsettled", message_id=held.lease.message.id, error=str(error))
            return None
