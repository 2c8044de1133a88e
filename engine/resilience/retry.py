"""Tries work again that an outage refused, and repeats work for as long as the process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import structlog

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]
Errors = type[Exception] | tuple[type[Exception], ...]
Answer = TypeVar("Answer")


async def retry(
    work: Callable[[], Awaitable[Answer]],
    *,
    on: Errors,
    unless: Errors = (),
    pause_s: float,
    pause_s_max: float = 0.0,
    give_up: Callable[[], bool] = lambda: False,
    on_failure: Callable[[Exception], None] = lambda _: None,
    sleep: Sleep = asyncio.sleep,
) -> Answer:
    """Return the work's answer once it succeeds.

    Args:
        work: Done again from the start.
        on: Errors after which it is tried again; any other is raised at once.
        unless: Some of them after which it is not.
        pause_s: Between two tries; doubled after each, up to ``pause_s_max``.
        pause_s_max: 0: the pause does not grow.
        give_up: Asked after each failure; True raises the error.
        on_failure: Gets each error after which it is tried again.
        sleep: For tests.
    """
    while True:
        try:
            return await work()
        except unless:
            raise
        except on as error:
            if give_up():
                raise
            on_failure(error)
        await sleep(pause_s)
        pause_s = max(pause_s, min(2 * pause_s, pause_s_max))


async def every(
    pause_s: float,
    work: Callable[[], Awaitable[object]],
    *,
    failed: str,
    expected: Errors = (),
    sleep: Sleep = asyncio.sleep,
) -> NoReturn:
    """Do the work after each pause, until cancelled; an error ends one round, not the loop.

    Args:
        pause_s: Before each round.
        work: One round.
        failed: The log event of an error that is not expected.
        expected: Errors that are reported elsewhere, as conditions.
        sleep: For tests.
    """
    while True:
        await sleep(pause_s)
        try:
            await work()
        except expected:
            pass
        except Exception:
            log.exception(failed)
