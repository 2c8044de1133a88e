"""Serves the metrics, for Prometheus or as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Header, Query, Response

from tempogram.api.core.dependencies import Services, ServicesOf
from tempogram.api.core.errors import Invalid, error_responses
from tempogram.api.security.auth import GuardedRoute, Role, requires
from tempogram.engine.model.errors import EngineError
from tempogram.engine.observability.metrics import CONTENT_TYPE, EngineCollector, as_flat, as_text

GAUGES_TIMEOUT_S = 1.0
"""The counters are needed most when the ledger or the broker does not answer, so gauges may be missing."""

router = APIRouter(tags=["metrics"], route_class=GuardedRoute)

Number = TypeVar("Number")
Format = Annotated[Literal["text", "json"] | None, Query(alias="format")]
Accept = Annotated[str, Header()]


@router.get(
    "/metrics", dependencies=[requires(Role.VIEWER)], response_class=Response, responses=error_responses(Invalid)
)
async def metrics(services: ServicesOf, format_: Format = None, accept: Accept = "") -> Response:
    """Show the metrics as Prometheus' text, or as JSON with ``Accept: application/json`` or ``?format=json``."""
    return _shown(await _collector(services), as_json=_wants_json(format_, accept))


def _wants_json(format_: str | None, accept: str) -> bool:
    return "application/json" in accept.lower() if format_ is None else format_ == "json"


def _shown(collector: EngineCollector, *, as_json: bool) -> Response:
    if as_json:
        return Response(msgspec.json.encode(as_flat(collector)), media_type="application/json")
    return Response(as_text(collector), headers={"Content-Type": CONTENT_TYPE})


async def _collector(services: Services) -> EngineCollector:
    counts = services.fleet_counts
    queue, dead, _ = await asyncio.gather(
        _if_there(services.broker.stats()),
        _if_there(services.history.dead_count()),
        _if_there(counts.refresh() if counts else asyncio.sleep(0)),
    )
    return EngineCollector(
        services.metrics,
        queue=queue,
        dead=dead,
        conditions=services.conditions.current,
        shared=counts.latest if counts else None,
    )


async def _if_there(number: Awaitable[Number]) -> Number | None:
    try:
        return await asyncio.wait_for(number, GAUGES_TIMEOUT_S)
    except (EngineError, TimeoutError):
        return None
