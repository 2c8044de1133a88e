"""Calls services: one way, for every service, with its limits, retries, deadline and breaker."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.keys import EntryName, checked
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.cache.store import CacheStore, StoreAway
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import BrokerUnavailable, SettingsError
from tempogram.engine.observability.service_metrics import ServiceMetrics
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.calling.attempts import SOON_S, Attempts
from tempogram.engine.services.calling.cached import kept_as
from tempogram.engine.services.calling.endpoint import Endpoint, ServiceHere
from tempogram.engine.services.calling.limiters import (
    limiters_of,
    operation_limiter,
    service_limiter,
    shared_limiters,
    token_limiter,
)
from tempogram.engine.services.calling.options import PLAIN, CallOptions
from tempogram.engine.services.calling.retries import Retries
from tempogram.engine.services.calls import Limiter
from tempogram.engine.services.catalogue import ALL, Operation, Service
from tempogram.engine.services.errors import CallOverdue, UnknownService
from tempogram.engine.services.kept_answers import KeptAnswers
from tempogram.engine.services.limiter import CallLimiter
from tempogram.engine.services.said import HOLD_MS_MAX
from tempogram.engine.services.state import LimiterState, OperationState, ServiceState, WaitingCall

__all__ = ["PLAIN", "CallOptions", "ServiceCalls", "Services"]

GET_OR_SET = "get_or_set"
"""The group of what is kept under a caller's own key."""

OWN_CACHE_BYTES = 8 << 20

UNTRIED_MS = 600_000
"""How long an operation counts as failing that no call has tried since its breaker was open."""

P = ParamSpec("P")
R = TypeVar("R")


class ServiceCalls(ABC):
    """The ways to make a call; each is ``call_with``, with what it leaves out."""

    async def call(
        self,
        service: str,
        operation: str,
        function: Callable[P, Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call a function when the service's limits let it, and return what it returns.

        Raises:
            ServiceError: It was not called, or given up; see ``errors``.
            Exception: What the function raised, unchanged, when no attempt is left.
        """
        return await self.call_with(PLAIN, service, operation, function, *args, **kwargs)

    @abstractmethod
    async def call_with(
        self,
        options: CallOptions,
        service: str,
        operation: str,
        function: Callable[P, Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Do as ``call``, with options of this call's own."""

    def limited(
        self, service: str, operation: str, options: CallOptions = PLAIN
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Return a decorator: each call of the function is a call of the service."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @functools.wraps(function)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                return await self.call_with(options, service, operation, function, *args, **kwargs)

            return limited

        return decorate


class Services(ServiceCalls, KeptAnswers):
    """All services of one process.

    Args:
        services: By name.
        limiter: Of this process, or one that all processes share.
        clock: Milliseconds since the epoch.
        is_enabled: False: no limit of a service holds; time limits, retries and breakers do.
        metrics: Counts the calls of this process.
        cache: Keeps answers; None: one in memory, which no metric shows.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        limiter: CallLimiter,
        *,
        clock: Clock,
        is_enabled: bool = True,
        metrics: ServiceMetrics | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._services = {ALL: Service(name=ALL), **services}
        self._limiter = limiter
        self._clock = clock
        self.cache = cache or Cache(CacheStore(MemoryBackend(OWN_CACHE_BYTES), clock=clock), clock=clock)
        self._metrics = metrics or ServiceMetrics()
        self._metrics.concurrency = self._concurrency
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._here: dict[str, ServiceHere] = {}
        attempts = Attempts(limiter, clock=clock, is_enabled=is_enabled)
        self._calls = Retries(attempts, clock=clock, is_enabled=is_enabled)

    async def call_with(
        self,
        options: CallOptions,
        service: str,
        operation: str,
        function: Callable[P, Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """See ``ServiceCalls``."""
        endpoint = self._endpoint(service, operation)
        work = functools.partial(self._calls.call, endpoint, options, functools.partial(function, *args, **kwargs))
        kept = kept_as(endpoint, options, function, args, kwargs)
        returned: R = await (work() if kept is None else self._answered(endpoint, options, *kept, work))
        return returned

    async def kept(self, key: str, function: Callable[[], Awaitable[R]], options: CacheOptions) -> R:
        """See ``KeptAnswers``."""
        answer: R = await self.cache.get_or_set(EntryName(GET_OR_SET, checked(key)), function, options)
        return answer

    async def forget(self, *keys: str, tags: Collection[str] = (), service: str | None = None) -> None:
        """See ``KeptAnswers``."""
        groups = [] if service is None else [f"{service}:{each}" for each in self.service(service).operations]
        names = [EntryName(GET_OR_SET, checked(key)) for key in keys]
        try:
            await self.cache.forget(names, tags=tags, groups=groups)
        except StoreAway:
            raise BrokerUnavailable("Redis cannot be reached, so nothing was forgotten; try again") from None

    async def _answered(
        self,
        endpoint: Endpoint,
        options: CallOptions,
        name: EntryName,
        how: CacheOptions,
        work: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Return what is kept of a call, or make it; no longer than its deadline."""
        deadline_s = endpoint.service.deadline_s if options.deadline_s is None else options.deadline_s
        try:
            async with asyncio.timeout(deadline_s + SOON_S) as scope:  # the call that is made ends by itself
                return await self.cache.get_or_set(name, work, how)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise CallOverdue(f"{endpoint.name} had no answer within {deadline_s:g} s") from error

    def names(self) -> list[str]:
        """Return the names of all services, sorted; ``all`` is among them if it has a limit."""
        return sorted(
            name for name, service in self._services.items() if service.operations or not service.limit.is_none
        )

    def service(self, name: str) -> Service:
        """Return what is allowed of a service now.

        Raises:
            UnknownService: There is none of this name.
        """
        service = self._services.get(name)
        if service is None:
            raise UnknownService(f"there is no service {name!r}; declared are {', '.join(self.names())}")
        return service

    def operation(self, name: str, operation: str) -> Operation:
        """Return what is allowed of an operation now.

        Raises:
            UnknownService: There is no such service, or it has none of this name.
        """
        service = self.service(name)
        rules = service.operations.get(operation)
        if rules is None:
            known = ", ".join(service.operations) or "none"
            raise UnknownService(f"{name} has no operation {operation!r}; it has {known}")
        return rules

    def replace(self, service: Service) -> None:
        """Allow what a newer version of a service allows, also to calls that wait; what is used stays used."""
        known = self._services.get(service.name)
        if known is not None and known.version >= service.version:
            return
        self._services[service.name] = service
        for endpoint in self._endpoints.values():
            if service.name in {ALL, endpoint.service.name}:
                endpoint.allow(self._services[endpoint.service.name], self._services[ALL])
        self._limiter.change(service_limiter(service))
        for operation in service.operations:
            self._limiter.change(operation_limiter(service, operation))
            self._limiter.change(token_limiter(service, operation))

    def failing(self) -> list[str]:
        """Return the operations whose breaker has opened and not closed since.

        One that is tried no more after it was open is left out after ``UNTRIED_MS``.
        """
        now_ms = self._clock()
        opened = [(each.name, each.breaker.open_until_ms) for each in self._endpoints.values()]
        return [name for name, until_ms in opened if until_ms and now_ms < until_ms + UNTRIED_MS]

    async def state(self, name: str) -> ServiceState:
        """Return what is seen of a service now, over all processes; breakers are of this one.

        Raises:
            UnknownService: There is none of this name.
            BrokerUnavailable: Redis is away.
        """
        service = self.service(name)
        both = dict.fromkeys((ALL, name))
        shared = shared_limiters(*(self._services[each] for each in both))
        own = {operation: limiters_of(service, operation) for operation in service.operations}
        seen = iter(await self._limiter.states([*shared, *(each for of in own.values() for each in of)]))
        return ServiceState(
            service=service,
            limiters=tuple(next(seen) for _ in shared),
            operations={
                operation: self._operation_state(name, operation, [next(seen) for _ in of])
                for operation, of in own.items()
            },
        )

    async def waiting(self, name: str, calls_max: int = 100) -> list[WaitingCall]:
        """Return calls of a service that wait in any process, those that go first first.

        Raises:
            UnknownService: There is none of this name.
            BrokerUnavailable: Redis is away.
        """
        return await self._limiter.line(self.service(name).name, calls_max)

    async def explain(self, call_id: str) -> WaitingCall | None:
        """Return why a call of any process waits; None: it does not, or there is none of this id.

        Raises:
            BrokerUnavailable: Redis is away.
        """
        return await self._limiter.explain(call_id)

    def hold(self, service: str, operation: str | None = None, *, for_ms: int, by: str) -> None:
        """Begin no call of an operation for a time, in any process; without an operation of the whole service.

        A hold that ends later stays. ``all`` holds all services.

        Raises:
            UnknownService: There is no such service, or operation.
            SettingsError: It is too short or too long. Nothing is held.
        """
        if not 0 < for_ms <= HOLD_MS_MAX:
            raise SettingsError(f"a hold for {for_ms} ms is none; it must end within {HOLD_MS_MAX // 86_400_000} days")
        until_ms = self._clock() + for_ms
        for limiter in self._held_limiters(service, operation):
            self._limiter.hold(limiter, until_ms, by)

    def release(self, service: str, operation: str | None = None) -> None:
        """End the holds of an operation in all processes, whatever held it; without an operation those of all, too.

        What the service said of what is left is forgotten, too.

        Raises:
            UnknownService: There is no such service, or operation.
        """
        for limiter in self._held_limiters(service, operation, releasing=True):
            self._limiter.hold(limiter, 0, "")

    async def settled(self) -> None:
        """Wait until a hold, its end or a change can be seen; if Redis does not answer, only for a moment."""
        await self._limiter.settled()

    def close_breaker(self, service: str, operation: str) -> None:
        """Close a breaker by hand, unless it is declared to be open."""
        endpoint = self._endpoint(service, operation)
        endpoint.breaker.force(is_open=endpoint.rules.is_open)
        self._limiter.well(endpoint.limiter)

    def believe_failing(self, limiter: str, until_ms: int) -> None:
        """Open the breaker of an operation of which other processes agree that it fails."""
        for endpoint in self._endpoints.values():
            if endpoint.name == limiter and endpoint.breaker.open_until_ms < until_ms:
                endpoint.breaker.open_until(until_ms)
                endpoint.fail_waiting()

    def _endpoint(self, name: str, operation: str) -> Endpoint:
        endpoint = self._endpoints.get((name, operation))
        if endpoint is None:
            self.operation(name, operation)
            endpoint = self._endpoints[name, operation] = Endpoint(
                self._services[name],
                operation,
                everywhere=self._services[ALL],
                shared=self._here.setdefault(name, ServiceHere()),
                counts=self._metrics.operations[name, operation],
                clock=self._clock,
            )
        return endpoint

    def _operation_state(self, name: str, operation: str, limiters: list[LimiterState]) -> OperationState:
        breaker = self._endpoint(name, operation).breaker
        return OperationState(
            limiters=tuple(limiters),
            breaker=breaker.state,
            open_until_ms=breaker.open_until_ms if breaker.state is BreakerState.OPEN else 0,
            is_forced=breaker.is_forced,
        )

    def _held_limiters(self, name: str, operation: str | None, *, releasing: bool = False) -> list[Limiter]:
        """Return what a hold is at: the limiter of a service if it has one, else, or to release, its operations."""
        if operation is not None:
            self.operation(name, operation)
            of_operation = limiters_of(self._services[name], operation)
            return of_operation if releasing else of_operation[:1]
        own = shared_limiters(self.service(name))
        if own and not releasing:
            return own
        of = list(self._services.values()) if name == ALL else [self._services[name]]
        if not releasing:
            return [operation_limiter(each, operation) for each in of for operation in each.operations]
        operations = [
            limiter for each in of for operation in each.operations for limiter in limiters_of(each, operation)
        ]
        return [*shared_limiters(*of), *operations]

    def _concurrency(self) -> Mapping[str, int]:
        return {name: each.limit.concurrency for name, each in self._services.items() if each.limit.concurrency}
