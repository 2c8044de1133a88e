"""Each step of a call as an event of the log, for services whose ``log_level`` is ``debug``: names and numbers only.

It is written whatever ``LOG_LEVEL`` is: a service is watched closely for a while without a flood of all others. The
events are of the level ``info``, as the logging of a program that the engine runs in has a level of its own, which
would drop ``debug``.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

from tempogram.engine.services.answers import Attempted, answer_of, status_of
from tempogram.engine.services.calling.endpoint import Endpoint

log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))


def began(endpoint: Endpoint, call: int, *, priority: int) -> None:
    if endpoint.is_verbose:
        log.info("service_call_began", operation=endpoint.name, call=call, priority=priority)


def waits(endpoint: Endpoint, call: int, *, waits_for: str, call_id: str = "") -> None:
    """Log for what an attempt begins to wait: a limiter, or ``room in line`` or ``pause after failures``."""
    if endpoint.is_verbose:
        log.info(
            "service_attempt_waits",
            operation=endpoint.name,
            call=call,
            waits_for=without_tenant(waits_for),
            call_id=call_id,
        )


def placed(endpoint: Endpoint, call: int, *, waited_s: float) -> None:
    if endpoint.is_verbose:
        log.info("service_attempt_began", operation=endpoint.name, call=call, waited_ms=round(1_000 * waited_s))


def attempted(
    endpoint: Endpoint, call: int, came: Attempted, *, result: Any, error: Exception | None, took_s: float
) -> None:
    """Log what came of an attempt, and what the service said of its limits."""
    if not endpoint.is_verbose:
        return
    log.info(
        "service_attempt_ended",
        operation=endpoint.name,
        call=call,
        verdict=came.verdict.value,
        status=status_of(result if error is None else answer_of(error)),
        error=None if error is None else type(error).__name__,
        took_ms=round(1_000 * took_s),
        hold_until_ms=came.said.hold_until_ms,
        left={quota.unit: quota.left for quota in came.said.quotas},
    )


def held(endpoint: Endpoint, call: int, *, limiter: str, until_ms: int, by: str) -> None:
    if endpoint.is_verbose:
        log.info("service_held", operation=endpoint.name, call=call, limiter=limiter, until_ms=until_ms, by=by)


def repeated(endpoint: Endpoint, call: int, *, attempt: int, pause_s: float) -> None:
    if endpoint.is_verbose:
        log.info(
            "service_attempt_follows",
            operation=endpoint.name,
            call=call,
            attempt=attempt,
            pause_ms=round(1_000 * pause_s),
        )


def ended(endpoint: Endpoint, call: int, *, outcome: str, took_s: float) -> None:
    if endpoint.is_verbose:
        log.info(
            "service_call_ended", operation=endpoint.name, call=call, outcome=outcome, took_ms=round(1_000 * took_s)
        )


def without_tenant(limiter: str) -> str:
    """Return the name of a limiter without that of a tenant, which may be a person's.

    >>> without_tenant("twilio:sms"), without_tenant("twilio@anna@example.com")
    ('twilio:sms', 'twilio@…')
    """
    service, sign, _ = limiter.partition("@")
    return f"{service}@…" if sign else limiter
