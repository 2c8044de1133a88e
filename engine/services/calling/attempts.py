"""One attempt of a call: its limiters, the breaker, a time-out, the call; and what the answer says of the service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.services.answers import Attempted, Verdict, of_error, of_result
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.calling import steps
from tempogram.engine.services.calling.endpoint import Endpoint
from tempogram.engine.services.calling.limiters import tokens_name
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.calls import Call, Charge, Limiter
from tempogram.engine.services.errors import CallOverdue, CallsFull, PlaceLost
from tempogram.engine.services.limiter import CallLimiter
from tempogram.engine.services.open_answer import OpenAnswer

log = structlog.get_logger()

SAID = "said by the service"

SOON_S = 0.02
"""A deadline that is nearer is over: an event loop's clock is coarse."""


@dataclass(frozen=True, slots=True)
class Job:
    """A call that is to be made.

    Attributes:
        charges: None but those of the limiters that hold.
        deadline_s: How long all its attempts may take, with waiting.
        until_s: Its deadline, in the time of the event loop.
        number: Of no other call of this process; for the log.
    """

    endpoint: Endpoint
    options: CallOptions
    charges: tuple[Charge, ...]
    work: Callable[[], Awaitable[Any]]
    deadline_s: float
    until_s: float | None
    number: int = 0

    @property
    def timeout_s(self) -> float:
        """Return how long one attempt may take."""
        timeout_s = self.options.timeout_s
        return self.endpoint.service.timeout_s if timeout_s is None else timeout_s

    def has_hung(self, took_s: float) -> bool:
        """Tell whether the deadline ended an attempt that had time enough: with little of it, it did not fail."""
        is_overdue = self.until_s is not None and asyncio.get_running_loop().time() > self.until_s - SOON_S
        return is_overdue and took_s > min(self.timeout_s, self.deadline_s) / 2


@dataclass(slots=True)
class Made:
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


class Attempts:
    """Makes attempts, and passes on what they say of the service.

    Args:
        is_enabled: False: what a service says of its limits is not heard.
    """

    def __init__(self, limiter: CallLimiter, *, clock: Clock, is_enabled: bool) -> None:
        self._limiter = limiter
        self._clock = clock
        self._is_enabled = is_enabled

    async def make(self, job: Job) -> Made:
        """Return what came of an attempt, once its places are given back or kept for its answer.

        Raises:
            ServiceError: It was not made.
        """
        endpoint, call = job.endpoint, Call(job.charges, job.options.priority_number)
        await self._begin(job, call)
        used: list[int] | None = [0] * len(call.charges)  # until it was made
        body: OpenAnswer | None = None
        try:
            if not (term := endpoint.breaker.ask()):
                raise endpoint.open_error()
            used = None
            made = await self._call(job, call, term)
            if made.verdict is Verdict.WELL and job.options.keeps is not None and made.error is None:
                body = job.options.keeps(made.result)
            used = _used(job, call, made) if body is None else None
            self._hold(job, made)  # before its places are given to others
        finally:
            if body is None:
                self._limiter.end(call, used)
        if body is not None:
            self._keep(job, call, term, body)
        self._believe(endpoint, made)
        return made

    async def _begin(self, job: Job, call: Call) -> None:
        """Wait for the places of a call; fail when the breaker opens meanwhile."""
        endpoint, line = job.endpoint, job.endpoint.shared.line
        if endpoint.breaker.state is BreakerState.OPEN:
            raise endpoint.open_error()
        if line.is_full and (job.options.when_full or endpoint.service.when_full) == "refuse":
            name = endpoint.service.name
            raise CallsFull(f"{line.inside} calls of {name} wait already, its waiting_max")
        began_s = asyncio.get_running_loop().time()
        endpoint.counts.waiting += 1
        try:
            await endpoint.unless_open(self._stand_in_line(job, call))
        finally:
            endpoint.counts.waiting -= 1
        waited_s = asyncio.get_running_loop().time() - began_s
        endpoint.counts.wait.observe(waited_s)
        steps.placed(endpoint, job.number, waited_s=waited_s)

    async def _stand_in_line(self, job: Job, call: Call) -> None:
        endpoint, line = job.endpoint, job.endpoint.shared.line
        if line.is_full:
            steps.waits(endpoint, job.number, waits_for="room in line")
        await line.enter(call.priority)
        try:
            if endpoint.breaker.back_off_ms():
                steps.waits(endpoint, job.number, waits_for="pause after failures")
                await endpoint.spaced.turn(endpoint.breaker.back_off_ms, call.priority)
            if call.charges and endpoint.is_verbose:
                await self._begin_in_the_log(job, call)
            elif call.charges:
                await self._limiter.begin(call)
        finally:
            line.leave()

    async def _begin_in_the_log(self, job: Job, call: Call) -> None:
        logging = asyncio.create_task(self._log_waiting(job, call))
        try:
            await self._limiter.begin(call)
        finally:
            logging.cancel()

    async def _log_waiting(self, job: Job, call: Call) -> None:
        """Log at which limiter a call stands, if it has to wait. Cost: over Redis a look for each such call."""
        with contextlib.suppress(BrokerUnavailable):
            await self._limiter.settled()  # before that Redis does not know it
            stands_at = call.stands_at
            if not stands_at and (seen := await self._limiter.explain(call.call_id)) is not None:
                stands_at = seen.stands_at
            if stands_at:
                steps.waits(job.endpoint, job.number, waits_for=stands_at, call_id=call.call_id)

    async def _call(self, job: Job, call: Call, term: int) -> Made:
        endpoint, options = job.endpoint, job.options
        now_s = asyncio.get_running_loop().time
        began_s, is_judged = now_s(), False
        endpoint.counts.under_way += 1
        try:
            async with asyncio.timeout(job.timeout_s) as scope:
                call.lost = functools.partial(_lose, call, scope, now_s)
                result = await job.work()
            made = Made(of_result(result, self._clock(), options.classify), result=result)
            is_judged = True
        except Exception as error:
            if call.is_over:
                name = endpoint.service.name
                raise PlaceLost(f"the limits of {name} cannot be reached; its call was cancelled") from error
            codes = endpoint.service.throttled_codes
            judged = of_error(error, self._clock(), throttled_codes=codes, classify=options.classify)
            made = Made(judged, error=error)
            is_judged = True
        finally:
            took_s = now_s() - began_s
            endpoint.counts.under_way -= 1
            endpoint.counts.duration.observe(took_s)
            if not is_judged:
                verdict = Verdict.FAILED if job.has_hung(took_s) else Verdict.WRONG
                self._judge(endpoint, term, verdict, int(1_000 * took_s))
        self._judge(endpoint, term, made.verdict, int(1_000 * took_s))
        steps.attempted(endpoint, job.number, made.attempted, result=made.result, error=made.error, took_s=took_s)
        return made

    def _keep(self, job: Job, call: Call, term: int, body: OpenAnswer) -> None:
        """Keep a call's places until its answer is read, at the most until its deadline."""
        name, timer = job.endpoint.name, None
        if job.until_s is not None:
            overdue = CallOverdue(f"the answer of {name} was not read to its end before the deadline")
            timer = asyncio.get_running_loop().call_at(job.until_s, body.cut, overdue)
        call.lost = lambda: body.cut(PlaceLost(f"the limits of {name} cannot be reached; its answer was cut off"))

        def end() -> None:
            if timer is not None:
                timer.cancel()
            self._limiter.end(call, _read_used(job, call, body.read) if body.read is not None else None)
            if body.is_failure:
                self._judge(job.endpoint, term, Verdict.FAILED, 0)

        body.when_over(end)

    def _judge(self, endpoint: Endpoint, term: int, verdict: Verdict, took_ms: int) -> None:
        breaker = endpoint.breaker
        if verdict in {Verdict.THROTTLED, Verdict.WRONG}:
            breaker.give_back(term)
            return
        was_closed = breaker.state is BreakerState.CLOSED
        if breaker.end(term, is_failure=verdict is Verdict.FAILED, took_ms=took_ms):
            log.warning("service_breaker_opened", operation=endpoint.name, open_ms=breaker.rule.open_ms)
            self._limiter.fails(endpoint.limiter, breaker.open_until_ms, breaker.rule.probes)
            endpoint.fail_waiting()
        elif not was_closed and breaker.state is BreakerState.CLOSED:
            log.info("service_breaker_closed", operation=endpoint.name)
            self._limiter.well(endpoint.limiter)

    def _hold(self, job: Job, made: Made) -> None:
        """Hold what the service counts if it is to wait, or if nothing is left of its limit."""
        endpoint = job.endpoint
        if made.verdict is Verdict.THROTTLED:
            endpoint.counts.rate_limit_hits += 1
        else:
            endpoint.pause.end(self._clock())
        if not self._is_enabled:
            return
        for quota in made.attempted.said.quotas:
            limiter = endpoint.limiter_of(quota.unit)
            if limiter is not None and quota.left == 0:
                self._hold_until(job, limiter, quota.until_ms, SAID)
        if (held := self._hold_after(endpoint, made)) is not None:
            made.held_until_ms, by = held
            endpoint.counts.holds += 1
            self._hold_until(job, endpoint.counted_by, made.held_until_ms, by)

    def _hold_until(self, job: Job, limiter: Limiter, until_ms: int, by: str) -> None:
        steps.held(job.endpoint, job.number, limiter=limiter.name, until_ms=until_ms, by=by)
        self._limiter.hold(limiter, until_ms, by)

    def _believe(self, endpoint: Endpoint, made: Made) -> None:
        """Take the service's word for what is left of its limits."""
        if not self._is_enabled:
            return
        for quota in made.attempted.said.quotas:
            if (limiter := endpoint.limiter_of(quota.unit)) is not None:
                self._limiter.believe(limiter, left=quota.left, until_ms=quota.until_ms, of=quota.of)

    def _hold_after(self, endpoint: Endpoint, made: Made) -> tuple[int, str] | None:
        """Return until when an operation is held after an attempt, and why; None: it is not."""
        if made.verdict in {Verdict.WELL, Verdict.WRONG}:
            return None
        if (said_ms := made.attempted.said.hold_until_ms) is not None:
            return said_ms, SAID
        if made.verdict is Verdict.THROTTLED:
            window_ms = endpoint.counted_by.limit.window_ms  # others may have used it up
            first_ms = max(int(endpoint.service.delay_s * 1_000), window_ms)
            return endpoint.pause.until_ms(self._clock(), first_ms=first_ms), "too many requests"
        return None


def _used(job: Job, call: Call, made: Made) -> list[int] | None:
    """Return what a call turned out to cost at each limiter; None: what was thought."""
    if made.verdict is Verdict.THROTTLED:
        return _costs(job, call, 0)  # it was counted, and not carried out
    return _read_used(job, call, made.result) if made.error is None else None


def _read_used(job: Job, call: Call, answer: Any) -> list[int] | None:
    options = job.options
    if options.used is None or options.cost == 0:
        return None
    try:
        used = options.used(answer)
        if used is None:
            return None
        tokens = max(0, int(used))
    except Exception:
        log.exception("call_cost_not_read")
        return None
    job.endpoint.estimates.learn(options.cost, tokens)
    return _costs(job, call, tokens)


def _costs(job: Job, call: Call, tokens: int) -> list[int]:
    """Return what a call cost at each of its limiters."""
    of_tokens = tokens_name(job.endpoint.name)
    return [tokens if charge.limiter.name == of_tokens else charge.cost for charge in call.charges]


def _lose(call: Call, scope: asyncio.Timeout, now_s: Callable[[], float]) -> None:
    call.is_over = True
    if not scope.expired():
        scope.reschedule(now_s())
