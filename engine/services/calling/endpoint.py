"""One operation of a service, as this process calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from tempogram.engine.model.clock import Clock
from tempogram.engine.observability.service_metrics import OperationCounts
from tempogram.engine.services.breaker import Breaker
from tempogram.engine.services.calling.estimates import Estimates
from tempogram.engine.services.calling.limiters import charges_of, limiters_of, service_limiter
from tempogram.engine.services.calling.line import Line
from tempogram.engine.services.calling.options import PLAIN, CallOptions
from tempogram.engine.services.calling.retry_quota import RetryQuota
from tempogram.engine.services.calling.spaced import Spaced
from tempogram.engine.services.calling.throttled_pause import ThrottledPause
from tempogram.engine.services.calls import Charge, Limiter
from tempogram.engine.services.catalogue import Operation, Service
from tempogram.engine.services.errors import CircuitOpen


@dataclass(slots=True)
class ServiceHere:
    """What the operations of a service share in this process."""

    quota: RetryQuota = field(default_factory=RetryQuota)
    line: Line = field(default_factory=lambda: Line(0))


class Endpoint:
    """What is declared of an operation, and what this process knows of it.

    Args:
        operation: Its name.
        everywhere: The limit over all services.
        shared: With the other operations of its service.

    Attributes:
        counted_by: The limiter of which an answer speaks: that of the whole service, if only that has a count.
    """

    __slots__ = (
        "_everywhere", "_plain", "_waiting", "breaker", "counted_by", "counts", "estimates", "has_complained",
        "limiter", "name", "operation", "pause", "rules", "service", "shared", "spaced", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        service: Service,
        operation: str,
        *,
        everywhere: Service,
        shared: ServiceHere,
        counts: OperationCounts,
        clock: Clock,
    ) -> None:
        self.operation = operation
        self.name = f"{service.name}:{operation}"
        self.shared = shared
        self.counts = counts
        self.breaker = Breaker(service.breaker, clock=clock)
        self.estimates = Estimates()
        self.pause = ThrottledPause()
        self.spaced = Spaced()
        self._waiting: set[asyncio.Timeout] = set()
        self.has_complained = False
        counts.breaker = lambda: self.breaker.state.value
        self.allow(service, everywhere)

    service: Service
    rules: Operation
    limiter: Limiter
    counted_by: Limiter
    tokens: Limiter | None

    def allow(self, service: Service, everywhere: Service) -> None:
        """Go by another declaration; a breaker that is opened or closed by hand stays so until that changes."""
        self.service, self._everywhere = service, everywhere
        self.rules = service.operations[self.operation]
        self.breaker.rule = service.breaker
        self.shared.line.most = service.waiting_max
        self.limiter, *tokens = limiters_of(service, self.operation)
        self.tokens = tokens[0] if tokens else None
        is_of_all = service.limit.count and not self.rules.limit.count
        self.counted_by = service_limiter(service) if is_of_all else self.limiter
        self._plain = charges_of(service, self.operation, PLAIN, everywhere, tokens_cost=PLAIN.cost)
        if self.rules.is_open != self.breaker.is_forced:
            self.breaker.force(is_open=self.rules.is_open)
            if self.rules.is_open:
                self.fail_waiting()

    def charges(self, options: CallOptions) -> tuple[Charge, ...]:
        """Return what a call costs at each of its limiters.

        Raises:
            SettingsError: The options ask for more than is declared.
        """
        if options is PLAIN:
            return self._plain
        cost = options.cost if options.used is None else self.estimates.most(options.cost)
        return charges_of(self.service, self.operation, options, self._everywhere, tokens_cost=cost)

    @property
    def is_verbose(self) -> bool:
        """Tell whether each step of its calls is logged."""
        return self.service.log_level == "debug"

    def limiter_of(self, unit: str) -> Limiter | None:
        """Return what counts ``"calls"`` or ``"tokens"``, if anything does."""
        return self.counted_by if unit == "calls" else self.tokens

    def is_idempotent(self, options: CallOptions) -> bool:
        return self.rules.is_idempotent if options.is_idempotent is None else options.is_idempotent

    def fail_waiting(self) -> None:
        """End the waiting of its calls, as the breaker opened."""
        for scope in self._waiting:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())

    async def unless_open(self, waiting: Awaitable[None]) -> None:
        """Wait for something.

        Raises:
            CircuitOpen: The breaker opened meanwhile.
        """
        try:
            async with asyncio.timeout(None) as scope:
                self._waiting.add(scope)
                await waiting
        except TimeoutError:
            if not scope.expired():
                raise
            raise self.open_error() from None
        finally:
            self._waiting.discard(scope)

    def open_error(self) -> CircuitOpen:
        if self.breaker.is_forced:
            return CircuitOpen(f"the breaker of {self.name} was opened by hand", 0)
        return CircuitOpen(f"{self.name} fails, and is not called for now", self.breaker.open_until_ms)
