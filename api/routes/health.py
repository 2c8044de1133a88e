"""Whether this process works, for load balancers and supervisors; needs no token."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.schemas.health import HealthOut
from tempogram.api.security.auth import StrictRoute
from tempogram.api.usecases import monitoring

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.get("/health", response_model=HealthOut, responses={503: {"model": HealthOut, "description": "It is down."}})
async def health(request: Request, dependencies: DependenciesOf) -> Response:
    """Tell whether the ledger can be read and the engine's loops run; with a bearer token, also what is wrong."""
    return await monitoring.health(dependencies, request)
