"""Attempts of a call until one is well, none is left, or the deadline came."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

from tempogram.engine.model.clock import Clock
from tempogram.engine.resilience.backoff import doubled_ms
from tempogram.engine.services.answers import Verdict
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.calling import steps
from tempogram.engine.services.calling.attempts import Attempts, Job, Made
from tempogram.engine.services.calling.endpoint import Endpoint
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.errors import CallOverdue, CallsFull, CircuitOpen, PlaceLost
from tempogram.engine.services.values import SECONDS_MAX

REFUSED = {CallOverdue: "overdue", CallsFull: "full", CircuitOpen: "open", PlaceLost: "lost"}
"""Outcomes of calls that were not made, or given up, as the metrics have them."""


class Retries:
    """Makes calls; see ``attempts`` for each attempt.

    Args:
        is_enabled: False: no limit of a service holds.
    """

    def __init__(self, attempts: Attempts, *, clock: Clock, is_enabled: bool) -> None:
        self._attempts = attempts
        self._clock = clock
        self._is_enabled = is_enabled
        self._numbers = itertools.count(1)

    async def call(self, endpoint: Endpoint, options: CallOptions, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return what the last attempt returned, or raise what it raised.

        Raises:
            ServiceError: No attempt was made, or the deadline came.
            SettingsError: The options ask for more than is declared. Nothing was called.
        """
        charges = endpoint.charges(options)
        deadline_s = endpoint.service.deadline_s if options.deadline_s is None else options.deadline_s
        outcome, began_s, number = "cancelled", asyncio.get_running_loop().time(), next(self._numbers)
        steps.began(endpoint, number, priority=options.priority_number)
        try:
            async with asyncio.timeout(deadline_s) as scope:
                charged = charges if self._is_enabled else ()
                job = Job(endpoint, options, charged, work, deadline_s, scope.when(), number)
                made = await self._last(job)
                outcome = made.verdict.value
            return made.outcome()
        except TimeoutError as error:
            if not scope.expired():
                raise
            outcome = REFUSED[CallOverdue]
            raise CallOverdue(f"{endpoint.name} had no answer within {deadline_s:g} s") from error
        except (CallsFull, CircuitOpen, PlaceLost) as error:
            outcome = REFUSED.get(type(error), outcome)
            raise
        finally:
            endpoint.counts.calls[outcome] += 1
            took_s = asyncio.get_running_loop().time() - began_s
            steps.ended(endpoint, number, outcome=outcome, took_s=took_s)

    async def _last(self, job: Job) -> Made:
        """Make attempts, and return the last one."""
        endpoint, options, quota = job.endpoint, job.options, job.endpoint.shared.quota
        retries = endpoint.service.retries if options.retries is None else options.retries
        attempt = 0
        made: Made | None = None
        while True:
            attempt += 1
            try:
                made = await self._attempts.make(job)
            except (CallsFull, CircuitOpen) as refused:
                raise refused from (made.error if made is not None else None)
            if attempt == 1:
                quota.begin()
            if made.verdict is Verdict.WELL:
                quota.succeed()
                return made
            if attempt > retries or endpoint.breaker.state is BreakerState.OPEN or not may_repeat(job, made):
                return made
            pause_s = pause_s_of(job, made, attempt)
            held_s = max(0, made.held_until_ms - self._clock()) / 1_000
            if not _is_in_time(job, max(pause_s, held_s)) or not quota.take():
                return made
            endpoint.counts.retries += 1
            steps.repeated(endpoint, job.number, attempt=attempt + 1, pause_s=pause_s)
            await _discard(made.result)
            await asyncio.sleep(pause_s)


def may_repeat(job: Job, made: Made) -> bool:
    """Tell whether an attempt may be followed by another: it did nothing, or nothing that a second one would harm."""
    if job.options.may_repeat is not None and not job.options.may_repeat():
        return False
    if made.verdict is Verdict.THROTTLED:
        return True
    return made.verdict is Verdict.FAILED and (job.endpoint.is_idempotent(job.options) or not made.attempted.was_sent)


def pause_s_of(job: Job, made: Made, attempt: int) -> float:
    """Return how long to wait before the next attempt. After a 429 it stands in line at once, if that is held."""
    if made.verdict is Verdict.THROTTLED and made.held_until_ms:
        return 0.0
    delay_s = job.endpoint.service.delay_s if job.options.delay_s is None else job.options.delay_s
    span_ms = doubled_ms(int(delay_s * 1_000), attempt - 1, ms_max=int(SECONDS_MAX * 1_000))
    return random.uniform(0, span_ms / 1_000)  # noqa: S311 - jitter, not a secret


def _is_in_time(job: Job, pause_s: float) -> bool:
    """Tell whether the deadline leaves time for a pause: else the last answer is better than none."""
    return job.until_s is None or asyncio.get_running_loop().time() + pause_s < job.until_s


async def _discard(result: Any) -> None:
    """Give back the connection of a response that is not returned, if it has one."""
    if (close := getattr(result, "aclose", None)) is not None:
        await close()
    elif (release := getattr(result, "release", None)) is not None:
        release()
