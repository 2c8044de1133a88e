"""What is seen of a service from outside: by the API, the command line and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

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
        left: Units that may be used now; None: any number.
        free_at_ms: When a call that costs 1 may begin, now or later; None: not before another one ends.
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

    @property
    def hold(self) -> str:
        """Say until when it is held, and why: ``until 14:32:10, said by the service``; empty: it is not held."""
        return f"until {time_of(self.held_until_ms)}, {self.held_by}" if self.held_until_ms else ""


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

    @classmethod
    def at(
        cls,
        limiter: LimiterState,
        *,
        call_id: str,
        operation: str,
        priority: int,
        asked_at_ms: int,
        ahead: int,
        now_ms: int,
    ) -> WaitingCall:
        """Return a call that stands at a limiter, with the reason."""
        return cls(
            call_id=call_id,
            operation=operation,
            priority=priority,
            waits_ms=max(0, now_ms - asked_at_ms),
            stands_at=limiter.name,
            ahead=ahead,
            free_at_ms=limiter.free_at_ms,
            reason=reason_of(limiter, ahead=ahead, now_ms=now_ms),
        )


STARTING = "as uses before the start are not known"


def starting(held_by: str) -> str:
    """Return why a limiter is held: without a reason it is since the start."""
    return held_by or STARTING


def reason_of(limiter: LimiterState, *, ahead: int, now_ms: int) -> str:
    """Say why a call waits at a limiter, in one sentence.

    >>> full = LimiterState(name="twilio", limit=CallLimit(concurrency=10), under_way=10, free_at_ms=None)
    >>> reason_of(full, ahead=2, now_ms=0)
    'all 10 places of twilio are taken, and 2 calls stand before it'
    """
    name, free_at_ms = limiter.name, limiter.free_at_ms
    before = f", and {_calls(ahead)} before it" if ahead else ""
    if limiter.hold:
        return f"{name} is held {limiter.hold}{before}"
    if free_at_ms is None and limiter.under_way >= limiter.limit.concurrency > 0:
        return f"{_places(limiter.limit.concurrency)} of {name} {_are(limiter.limit.concurrency)} taken{before}"
    if free_at_ms is None:
        return f"{name} failed, and few calls at a time try whether it is well again{before}"
    if free_at_ms > now_ms:
        return f"what {name} allows is used up until {time_of(free_at_ms)}{before}"
    return f"{_calls(ahead)} before it at {name}" if ahead else f"the database does not have its use of {name} yet"


def time_of(at_ms: int) -> str:
    """Return a time of today as hours, minutes and seconds of this machine's time zone, another one with its date."""
    at, now = (moment.astimezone() for moment in (datetime.fromtimestamp(at_ms / 1_000, UTC), datetime.now(UTC)))
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _places(number: int) -> str:
    return "the only place" if number == 1 else f"all {number:,} places"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _calls(number: int) -> str:
    return "1 call stands" if number == 1 else f"{number:,} calls stand"
