"""Calls services: one way, for every service, with its limits, retries, deadline and breaker."""

from __future__ import annotations

import asyncio
import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.answers import Attempted, Classify, Verdict, of_error, of_result
from tempogram.engine.services.breaker import Breaker, BreakerState
from tempogram.engine.services.calls import PRIORITIES, PRIORITY_OF, Call, Charge, Limiter
from tempogram.engine.services.catalogue import Operation, Service, service_of
from tempogram.engine.services.errors import CallOverdue, CallsFull, CircuitOpen, PlaceLost, UnknownService
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.limiter import CallLimiter
from tempogram.engine.services.retry_quota import RetryQuota

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

UNTRIED_MS = 600_000
"""How long an operation counts as failing that no call has tried since its breaker was open."""

THROTTLED_MS_MAX = 60_000
"""The longest hold after a 429 that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call may have of its own; None: as its service declares.

    Attributes:
        priority: 0 to 9, 0 first, or ``high``, ``normal``, ``low``.
        tenant: On whose behalf; each has the service's limit of a tenant.
        cost: What it probably costs in the service's own unit.
        used: Says from the answer what it cost.
        deadline_s: With all attempts and waiting.
        timeout_s: Of one attempt.
        retries: After the first attempt.
        delay_s: Before the first retry, at the most.
        concurrency: Calls of this kind at once; not above what is declared.
        count: Calls of this kind in ``window_ms``; not above what is declared.
        window_ms: Milliseconds; None: the operation's window.
        is_idempotent: A second call does no harm.
        classify: See ``Classify``.
    """

    priority: int | str = "normal"
    tenant: str | None = None
    cost: int = 1
    used: Callable[[Any], int | None] | None = None
    deadline_s: float | None = None
    timeout_s: float | None = None
    retries: int | None = None
    delay_s: float | None = None
    concurrency: int | None = None
    count: int | None = None
    window_ms: int | None = None
    is_idempotent: bool | None = None
    classify: Classify | None = None


PLAIN = CallOptions()


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


class Services(ServiceCalls):
    """All services of one process.

    Args:
        services: By name.
        limiter: Of this process, or one that all processes share.
        clock: Milliseconds since the epoch.
        is_enabled: False: no limit of a service holds; time limits, retries and breakers do.
        all_limit: Over all services together.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        limiter: CallLimiter,
        *,
        clock: Clock,
        is_enabled: bool = True,
        all_limit: CallLimit | None = None,
    ) -> None:
        self._services = dict(services)
        self._limiter = limiter
        self._clock = clock
        self._is_enabled = is_enabled
        self._all = Limiter("*", all_limit) if all_limit is not None and not all_limit.is_none else None
        self._states: dict[tuple[str, str], _State] = {}
        self._quotas: dict[str, RetryQuota] = {}
        self._waiting: dict[str, int] = {}

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
        declared, rules = self._declared(service, operation)
        work = functools.partial(function, *args, **kwargs)
        deadline_s = options.deadline_s if options.deadline_s is not None else declared.deadline_s
        try:
            async with asyncio.timeout(deadline_s) as scope:
                return await self._with_retries(declared, rules, operation, options, work, scope.when())
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise CallOverdue(f"{service}:{operation} had no answer within {deadline_s:g} s") from error

    def update_limits(self, name: str, changes: Mapping[str, Any]) -> Service:
        """Change what is declared of a service, in the words of ``services.toml``; what is used stays used.

        Raises:
            UnknownService: There is none of this name.
            SettingsError: The changes make no sense. Nothing was changed.
        """
        base = self._services.get(name)
        if base is None:
            raise self._unknown(name)
        changed = service_of(name, changes, base)
        return self.replace(replace(changed, version=base.version + 1))

    def replace(self, service: Service) -> Service:
        """Take a service as another process has declared it; an older version is ignored."""
        known = self._services.get(service.name)
        if known is not None and known.version >= service.version:
            return known
        self._services[service.name] = service
        for (name, _), state in self._states.items():
            if name == service.name:
                state.breaker.rule = service.breaker
        return service

    def hold(self, service: str, operation: str, *, until_ms: int, by: str) -> None:
        """Call an operation no more before a time, in any process; 0 ends a hold."""
        declared, rules = self._declared(service, operation)
        self._limiter.hold(self._operation_limiter(declared, operation, rules), until_ms, by)

    def failing(self) -> list[tuple[str, int]]:
        """Return the operations whose breaker has opened and not closed since, and until when they are not called.

        One that is tried no more after it was open is left out after ``UNTRIED_MS``.
        """
        now_ms = self._clock()
        opened = [(state.limiter.name, state.breaker.open_until_ms) for state in self._states.values()]
        return [(name, until_ms) for name, until_ms in opened if until_ms and now_ms < until_ms + UNTRIED_MS]

    def force_breaker(self, service: str, operation: str, *, is_open: bool) -> None:
        """Open or close a breaker by hand."""
        declared, _ = self._declared(service, operation)
        self._state(declared, operation).breaker.force(is_open=is_open)

    async def _with_retries(
        self,
        service: Service,
        rules: Operation,
        operation: str,
        options: CallOptions,
        work: Callable[[], Awaitable[R]],
        until_s: float | None,
    ) -> R:
        retries = service.retries if options.retries is None else options.retries
        quota = self._quotas.setdefault(service.name, RetryQuota())
        quota.begin()
        attempt = 0
        while True:
            attempt += 1
            made = await self._attempt(service, rules, operation, options, work)
            if made.verdict is Verdict.WELL:
                quota.succeed()
            elif attempt <= retries and self._may_retry(made, rules, options):
                pause_s = self._pause_s(service, options, made, attempt)
                held_s = max(0, made.held_until_ms - self._clock()) / 1_000
                if self._is_in_time(until_s, max(pause_s, held_s)) and quota.take():
                    await _discard(made.result)
                    await asyncio.sleep(pause_s)
                    continue
            outcome: R = made.outcome()
            return outcome

    async def _attempt(
        self, service: Service, rules: Operation, operation: str, options: CallOptions, work: Callable[[], Awaitable[R]]
    ) -> _Made:
        state = self._state(service, operation)
        call = Call(self._charges(service, rules, operation, options), _priority(options.priority))
        await self._begin(service, operation, state, call)
        used: list[int] | None = [0] * len(call.charges)  # until it was made
        try:
            if not state.breaker.ask():
                raise _open(service, operation, state.breaker)
            used = None
            made = await self._make(service, state, call, options, work)
            used = self._used(call, made, options)
        finally:
            self._limiter.end(call, used)
        self._listen(service, rules, operation, state, made)
        return made

    async def _begin(self, service: Service, operation: str, state: _State, call: Call) -> None:
        """Wait for the places of a call; fail when the breaker opens meanwhile."""
        if state.breaker.state is BreakerState.OPEN:
            raise _open(service, operation, state.breaker)
        if not call.charges:
            return
        waiting = self._waiting.get(service.name, 0)
        if waiting >= service.waiting_max:
            raise CallsFull(f"{waiting} calls of {service.name} wait already, its waiting_max")
        self._waiting[service.name] = waiting + 1
        try:
            async with asyncio.timeout(None) as scope:
                state.waiting.add(scope)
                await self._limiter.begin(call)
        except TimeoutError:
            if not scope.expired():
                raise
            raise _open(service, operation, state.breaker) from None
        finally:
            state.waiting.discard(scope)
            self._waiting[service.name] -= 1

    async def _make(
        self, service: Service, state: _State, call: Call, options: CallOptions, work: Callable[[], Awaitable[R]]
    ) -> _Made:
        timeout_s = service.timeout_s if options.timeout_s is None else options.timeout_s
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        is_judged = False
        try:
            async with asyncio.timeout(timeout_s) as scope:
                call.lost = functools.partial(_lose, call, scope, loop)
                result = await work()
            made = _Made(of_result(result, self._clock(), options.classify), result=result)
            is_judged = True
        except Exception as error:
            if call.is_over:
                raise PlaceLost(f"the limits of {service.name} cannot be reached; its call was cancelled") from error
            judged = of_error(error, self._clock(), throttled_codes=service.throttled_codes, classify=options.classify)
            made = _Made(judged, error=error)
            is_judged = True
        finally:
            if not is_judged:
                state.breaker.give_back()
        self._judge(state, made.attempted.verdict, int(1_000 * (loop.time() - began_s)))
        return made

    def _judge(self, state: _State, verdict: Verdict, took_ms: int) -> None:
        breaker = state.breaker
        if verdict in {Verdict.THROTTLED, Verdict.WRONG}:
            breaker.give_back()
            return
        was_closed = breaker.state is BreakerState.CLOSED
        if breaker.end(is_failure=verdict is Verdict.FAILED, took_ms=took_ms):
            self._limiter.fails(state.limiter, breaker.open_until_ms, breaker.rule.probes)
            state.fail_waiting()
        elif not was_closed and breaker.state is BreakerState.CLOSED:
            self._limiter.well(state.limiter)

    def believe_failing(self, limiter: str, until_ms: int) -> None:
        """Open the breaker of an operation of which other processes agree that it fails."""
        for state in self._states.values():
            if state.limiter.name == limiter and state.breaker.open_until_ms < until_ms:
                state.breaker.open_until(until_ms)
                state.fail_waiting()

    def _listen(self, service: Service, rules: Operation, operation: str, state: _State, made: _Made) -> None:
        """Believe what the service says of its limits, and hold the operation if it is to wait."""
        if not self._is_enabled:
            return
        limiter = self._operation_limiter(service, operation, rules)
        for quota in made.attempted.said.quotas:
            named = limiter if quota.unit == "calls" else self._token_limiter(service, operation, rules)
            if named is not None:
                self._limiter.believe(named, left=quota.left, until_ms=quota.until_ms, of=quota.of)
        state.throttled = state.throttled + 1 if made.verdict is Verdict.THROTTLED else 0
        if (held := self._hold_after(service, state, made)) is not None:
            made.held_until_ms, by = held
            self._limiter.hold(limiter, made.held_until_ms, by)

    def _hold_after(self, service: Service, state: _State, made: _Made) -> tuple[int, str] | None:
        """Return until when an operation is held after an attempt, and why; None: it is not."""
        now_ms, said_ms = self._clock(), made.attempted.said.hold_until_ms
        if made.verdict is Verdict.WELL or made.verdict is Verdict.WRONG:
            return None
        if said_ms is not None:
            return said_ms, "said by the service"
        if made.verdict is Verdict.THROTTLED:
            pause_ms = int(service.delay_s * 1_000) * 2 ** min(state.throttled - 1, 16)
            return now_ms + min(pause_ms, THROTTLED_MS_MAX), "too many requests"
        apart_ms = state.breaker.back_off_ms()
        return (now_ms + apart_ms, "many of its calls fail") if apart_ms else None

    def _pause_s(self, service: Service, options: CallOptions, made: _Made, attempt: int) -> float:
        """Return how long to wait before the next attempt. After a 429 it stands in line at once: that is held."""
        if made.verdict is Verdict.THROTTLED:
            return 0.0
        delay_s = service.delay_s if options.delay_s is None else options.delay_s
        return random.uniform(0, delay_s * 2 ** (attempt - 1))  # noqa: S311 - jitter, not a secret

    def _is_in_time(self, until_s: float | None, pause_s: float) -> bool:
        """Tell whether the deadline leaves time for a pause: else the last answer is better than none."""
        return until_s is None or asyncio.get_running_loop().time() + pause_s < until_s

    def _may_retry(self, made: _Made, rules: Operation, options: CallOptions) -> bool:
        if made.verdict is Verdict.THROTTLED:
            return True
        if made.verdict is not Verdict.FAILED:
            return False
        is_idempotent = rules.is_idempotent if options.is_idempotent is None else options.is_idempotent
        return is_idempotent or not made.attempted.was_sent

    def _used(self, call: Call, made: _Made, options: CallOptions) -> list[int] | None:
        """Return what a call turned out to cost at each limiter; None: what was thought."""
        if options.used is None or made.error is not None or options.cost == 0:
            return None
        try:
            used = options.used(made.result)
        except Exception:
            log.exception("call_cost_not_read")
            return None
        if used is None:
            return None
        return [max(0, used) if charge.limiter.name.endswith(TOKENS) else charge.cost for charge in call.charges]

    def _charges(self, service: Service, rules: Operation, operation: str, options: CallOptions) -> tuple[Charge, ...]:
        if not self._is_enabled:
            return ()
        own = self._own_limiter(service, rules, operation, options)
        tokens = self._token_limiter(service, operation, rules)
        of_tenant = None
        if options.tenant is not None and not service.tenant.is_none:
            of_tenant = Limiter(f"{service.name}@{options.tenant}", service.tenant, service.version)
        of_service = None if service.limit.is_none else Limiter(service.name, service.limit, service.version)
        of_operation = self._operation_limiter(service, operation, rules)  # even without a limit it may be held
        limiters = (self._all, of_service, of_tenant, own, of_operation)
        charges = tuple(Charge(limiter) for limiter in limiters if limiter is not None)
        return charges if tokens is None else (*charges, Charge(tokens, options.cost))

    def _own_limiter(self, service: Service, rules: Operation, operation: str, options: CallOptions) -> Limiter | None:
        """Return the limiter of calls that ask for less than is declared."""
        if options.concurrency is None and options.count is None and options.window_ms is None:
            return None
        window_ms = options.window_ms or rules.limit.window_ms
        count = options.count or (rules.limit.count if options.window_ms else 0)
        concurrency = options.concurrency or 0
        _check_override(service, rules, concurrency=concurrency, count=count, window_ms=window_ms)
        limit = CallLimit(count=count, window_ms=window_ms if count else 0, concurrency=concurrency)
        return Limiter(f"{service.name}:{operation}#{concurrency},{count},{window_ms}", limit, service.version)

    def _operation_limiter(self, service: Service, operation: str, rules: Operation) -> Limiter:
        return Limiter(f"{service.name}:{operation}", rules.limit, service.version)

    def _token_limiter(self, service: Service, operation: str, rules: Operation) -> Limiter | None:
        if rules.tokens.is_none:
            return None
        return Limiter(f"{service.name}:{operation}{TOKENS}", rules.tokens, service.version)

    def _declared(self, service: str, operation: str) -> tuple[Service, Operation]:
        declared = self._services.get(service)
        if declared is None:
            raise self._unknown(service)
        rules = declared.operations.get(operation)
        if rules is None:
            known = ", ".join(declared.operations)
            raise UnknownService(f"{service} has no operation {operation!r}; it has {known}")
        return declared, rules

    def _unknown(self, service: str) -> UnknownService:
        return UnknownService(f"there is no service {service!r}; declared are {', '.join(sorted(self._services))}")

    def _state(self, service: Service, operation: str) -> _State:
        key = service.name, operation
        if key not in self._states:
            limiter = self._operation_limiter(service, operation, service.operations[operation])
            self._states[key] = _State(Breaker(service.breaker, clock=self._clock), limiter)
        return self._states[key]


TOKENS = "/tokens"


@dataclass(slots=True)
class _State:
    """What this process knows of one operation."""

    breaker: Breaker
    limiter: Limiter
    throttled: int = 0  # one after another
    waiting: set[asyncio.Timeout] = field(default_factory=set)

    def fail_waiting(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for scope in self.waiting:
            scope.reschedule(now_s)


@dataclass(slots=True)
class _Made:
    """One attempt that was made, and what came of it."""

    attempted: Attempted
    result: Any = None
    error: Exception | None = None
    held_until_ms: int = 0

    @property
    def verdict(self) -> Verdict:
        return self.attempted.verdict

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


async def _discard(result: Any) -> None:
    """Give back the connection of a response that is not returned, if it has one."""
    if (close := getattr(result, "aclose", None)) is not None:
        await close()
    elif (release := getattr(result, "release", None)) is not None:
        release()


def _lose(call: Call, scope: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
    call.is_over = True
    scope.reschedule(loop.time())


def _open(service: Service, operation: str, breaker: Breaker) -> CircuitOpen:
    what = f"{service.name}:{operation} fails, and is not called for now"
    return CircuitOpen(what, breaker.open_until_ms)


def _priority(priority: int | str) -> int:
    if isinstance(priority, str):
        number = PRIORITY_OF.get(priority)
        if number is None:
            raise SettingsError(
                f"priority is {priority!r}; it must be {', '.join(PRIORITY_OF)} or 0 to {PRIORITIES - 1}"
            )
        return number
    if not 0 <= priority < PRIORITIES:
        raise SettingsError(f"priority is {priority}; it must be high, normal, low or 0 to {PRIORITIES - 1}")
    return priority


def _check_override(service: Service, rules: Operation, *, concurrency: int, count: int, window_ms: int) -> None:
    declared = service.limit.concurrency or rules.limit.concurrency
    if declared and concurrency > declared:
        raise SettingsError(f"concurrency {concurrency} is above what is declared for {service.name}, {declared}")
    limit = rules.limit
    if limit.count and count and count * limit.window_ms > limit.count * window_ms:
        raise SettingsError(
            f"{count} calls in {window_ms} ms are more than is declared for {service.name}, "
            f"{limit.count} in {limit.window_ms} ms"
        )
