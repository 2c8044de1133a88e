"""Serves the metrics, for Prometheus or as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, error_responses
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import monitoring

router = APIRouter(tags=["metrics"], route_class=GuardedRoute)

Format = Annotated[Literal["text", "json"] | None, Query(alias="format")]
Accept = Annotated[str, Header()]


@router.get(
    "/metrics", dependencies=[requires(Role.VIEWER)], response_class=Response, responses=error_responses(Invalid)
)
async def metrics(dependencies: DependenciesOf, format_: Format = None, accept: Accept = "") -> Response:
    """Show the metrics as Prometheus' text, or as JSON with ``Accept: application/json`` or ``?format=json``."""
    return await monitoring.metrics(dependencies, format_, accept)
