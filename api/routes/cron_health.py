"""How tasks, loops and budgets are, for operators and their monitoring."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, NotFound, error_responses
from tempogram.api.schemas.tasks import CronHealthOut, CronServiceOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import cron_health
from tempogram.engine.model.errors import LedgerError

router = APIRouter(tags=["health"], route_class=GuardedRoute)

Service = Annotated[str, Path(max_length=128, examples=["twitterPoller"])]


@router.get(
    "/health/cron",
    dependencies=[requires(Role.VIEWER)],
    response_model=CronHealthOut,
    responses=error_responses(LedgerError),
)
async def all_services(dependencies: DependenciesOf) -> Response:
    """Tell when each task and each loop ran last and whether it stalls, and what is left of the services' budgets."""
    return JSONResponse(await cron_health.all_services(dependencies))


@router.get(
    "/health/cron/{service}",
    dependencies=[requires(Role.VIEWER)],
    response_model=CronServiceOut,
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def one_service(service: Service, dependencies: DependenciesOf) -> Response:
    """Tell everything of one task, with its last 100 runs, or of one loop."""
    return JSONResponse(await cron_health.one_service(dependencies, service))
