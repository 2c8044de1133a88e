"""How tasks, loops and budgets are. Every process says it, also one that has no API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tempogram.api.core.errors import NotFound
from tempogram.api.core.monitored import Monitored
from tempogram.api.core.redaction import short
from tempogram.api.usecases.tasks_shown import (
    Shown,
    budgets,
    loop_details,
    loop_line,
    runs,
    task_details,
    task_line,
    time_of,
)
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.scheduler.board import UnknownTask
from tempogram.engine.scheduler.status import TaskStatus

TIMEOUT_S = 5.0
"""A database that answers later counts as unavailable."""

LIMITS_TIMEOUT_S = 1.0
"""Budgets are left out if Redis does not answer until then: what tasks do is known without them."""

X = "x"
"""The service of which ``x_api_status`` tells."""

MARK = "@"
"""In the name of a loop, and in none of a task."""


async def all_services(monitored: Monitored) -> Shown:
    """Tell of every declared task and every loop; raises ``LedgerError``."""
    limits = asyncio.create_task(_limits(monitored))
    try:
        async with _in_time():
            tasks = [each for each in await monitored.tasks.tasks() if each.row.is_declared]
            loops = await monitored.tasks.loops()
    except BaseException:
        limits.cancel()
        raise
    left = await limits
    stalled = [each.row.name for each in tasks if each.status is TaskStatus.STALLED]
    stalled += [each.name for each in loops if each.status is TaskStatus.STALLED]
    return {
        "timestamp": time_of(monitored.clock()),
        "services": [*map(task_line, tasks), *map(loop_line, loops)],
        "stalled_services": stalled,
        **({"x_api_status": left[X]} if left and X in left else {}),
        "limits": left,
    }


async def one_service(monitored: Monitored, name: str) -> Shown:
    """Tell everything of a task, or of a loop; raises ``NotFound`` and ``LedgerError``."""
    async with _in_time():
        found = await (_loop if MARK in name else _task)(monitored, name)
    return {"timestamp": time_of(monitored.clock()), **found}


async def _task(monitored: Monitored, name: str) -> Shown:
    try:
        health = await monitored.tasks.task(name)
    except UnknownTask:
        raise _unknown(name) from None
    history = await monitored.tasks.history(name)
    return {**task_line(health), **task_details(health), "history": runs(history)}


async def _loop(monitored: Monitored, name: str) -> Shown:
    health = next((each for each in await monitored.tasks.loops() if each.name == name), None)
    if health is None:
        raise _unknown(name)
    return loop_details(health)


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no task or loop {short(name)}; GET /health/cron lists them")


async def _limits(monitored: Monitored) -> dict[str, Shown] | None:
    """Return what is left of the budgets of each service; None: it is not known here, or Redis is away."""
    if (services := monitored.services) is None:
        return None
    try:
        async with asyncio.timeout(LIMITS_TIMEOUT_S):
            states = await asyncio.gather(*map(services.state, services.names()))
    except (BrokerUnavailable, TimeoutError):
        return None
    left = {state.service.name: budgets(state) for state in states}
    return {name: of for name, of in left.items() if of or name == X}


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except TimeoutError:
        raise LedgerError(f"the database has not answered within {TIMEOUT_S:g} s") from None
