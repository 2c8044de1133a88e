"""What is seen of a service from outside: by the API, the command line and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.catalogue import Service
from tempogram.engine.services.limit import CallLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterState:
    """One limiter at one moment, as all processes that share it see it.

    Attributes:
        name: As in ``Limiter``.
        under_way: Calls that have a place.
        waiting: Calls that stand here.
        left: Units that may be used now; None: it has no count.
        free_at_ms: When a call that costs 1 may begin; None: not before another one ends.
        held_until_ms: 0: it is not held.
        held_by: Why it is held, as a short phrase: ``said by the service``.
    """

    name: str
    limit: CallLimit
    under_way: int = 0
    waiting: int = 0
    left: int | None = None
    free_at_ms: int | None = 0
    held_until_ms: int = 0
    held_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationState:
    """One operation.

    Attributes:
        limiters: Its own, and that of its tokens if it has one.
        breaker: Of this process.
        open_until_ms: 0: the breaker is not open, or open by hand until it is closed by hand.
        is_forced: The breaker was opened by hand.
    """

    limiters: tuple[LimiterState, ...]
    breaker: BreakerState = BreakerState.CLOSED
    open_until_ms: int = 0
    is_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One service, with its declaration.

    Attributes:
        limiters: Those that all its operations pass: that of the service, and that of all services.
        operations: By name.
    """

    service: Service
    limiters: tuple[LimiterState, ...]
    operations: Mapping[str, OperationState]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCall:
    """Why a call waits.

    Attributes:
        call_id: Unique in all processes.
        operation: ``twilio:sms``.
        priority: 0 to 9, 0 first.
        waits_ms: For how long by now.
        stands_at: The limiter for which it waits.
        ahead: Calls before it at that limiter.
        free_at_ms: As in ``LimiterState``, of that limiter.
        reason: One sentence for an operator.
    """

    call_id: str
    operation: str
    priority: int
    waits_ms: int
    stands_at: str
    ahead: int
    free_at_ms: int | None
    reason: str
