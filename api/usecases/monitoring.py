"""Whether this process works, and its metrics. Every process serves them, also one that has no API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tempogram.api.core.errors import NotAllowed, NotAuthenticated, TooManyWrongTokens
from tempogram.api.core.monitored import Monitored
from tempogram.api.security.requests import unbound_principal_of
from tempogram.engine.model.errors import EngineError, LedgerError
from tempogram.engine.observability.metrics import CONTENT_TYPE, EngineCollector, as_flat, as_text
from tempogram.engine.observability.task_metrics import Statuses
from tempogram.engine.scheduler.board import TaskBoard

log = structlog.get_logger()

TIMEOUT_S = 1.0
"""A ledger that answers later counts as unavailable."""

GAUGES_TIMEOUT_S = 1.0
"""The counters are needed most when the ledger or the broker does not answer, so gauges may be missing."""

Number = TypeVar("Number")


async def health(monitored: Monitored, request: Request) -> Response:
    """Tell whether the ledger can be read and the engine's loops run; with a bearer token, also what is wrong."""
    is_up = await _is_up(monitored.healthy)
    body: dict[str, object] = {"status": "up" if is_up else "down"}
    if await _may_see(request, monitored):
        body["conditions"] = monitored.conditions.current
    return JSONResponse(body, status_code=200 if is_up else 503)


async def metrics(monitored: Monitored, format_: str | None, accept: str) -> Response:
    """Show the metrics as Prometheus' text, or as JSON with ``Accept: application/json`` or ``?format=json``."""
    collector = await _collector(monitored)
    if _wants_json(format_, accept):
        return Response(msgspec.json.encode(as_flat(collector)), media_type="application/json")
    return Response(as_text(collector), headers={"Content-Type": CONTENT_TYPE})


async def _may_see(request: Request, monitored: Monitored) -> bool:
    """Tell whether a token is valid and for all bots; without one a load balancer is answered, too."""
    try:
        await unbound_principal_of(request, monitored)
    except (NotAuthenticated, TooManyWrongTokens, NotAllowed, LedgerError):
        return False
    return True


async def _is_up(healthy: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await asyncio.wait_for(healthy(), TIMEOUT_S)
    except (LedgerError, TimeoutError):
        return False  # logged as a condition by the part that waits for the ledger
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not well
        log.warning("health_check_failed", error=type(error).__name__)
        return False


def _wants_json(format_: str | None, accept: str) -> bool:
    return "application/json" in accept.lower() if format_ is None else format_ == "json"


async def _collector(monitored: Monitored) -> EngineCollector:
    counts, watches = monitored.fleet_counts, monitored.watches
    queue, dead, statuses, watched, _ = await asyncio.gather(
        _if_there(monitored.broker.stats()),
        _if_there(monitored.history.dead_count()),
        _if_there(_statuses(monitored.tasks)),
        _if_there(watches.recent_counts() if watches else _none()),
        _if_there(counts.refresh() if counts else _none()),
    )
    return EngineCollector(
        monitored.metrics,
        queue=queue,
        dead=dead,
        conditions=monitored.conditions.current,
        statuses=statuses,
        watched=watched,
        shared=counts.latest if counts else None,
    )


async def _none() -> None:
    """Return at once."""


async def _statuses(board: TaskBoard) -> Statuses:
    tasks = {each.row.name: each.status.value for each in await board.tasks() if each.row.is_declared}
    return Statuses(tasks, [(each.beat.loop, each.status.value) for each in await board.loops()])


async def _if_there(number: Awaitable[Number]) -> Number | None:
    try:
        return await asyncio.wait_for(number, GAUGES_TIMEOUT_S)
    except (EngineError, TimeoutError):
        return None
