"""Whether this process works, for load balancers and supervisors; needs no token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tempogram.api.core.dependencies import Services, ServicesOf
from tempogram.api.core.errors import NotAuthenticated, TooManyWrongTokens
from tempogram.api.schemas.health import HealthOut
from tempogram.api.security.auth import principal_of
from tempogram.engine.model.errors import LedgerError

log = structlog.get_logger()

TIMEOUT_S = 1.0
"""A ledger that answers later counts as unavailable."""

router = APIRouter(tags=["health"])


@router.get("/health", response_model=HealthOut, responses={503: {"model": HealthOut, "description": "It is down."}})
async def health(request: Request, services: ServicesOf) -> Response:
    """Tell whether the ledger can be read and the engine's loops run; with a bearer token, also what is wrong."""
    is_up = await _is_up(services.healthy)
    body: dict[str, object] = {"status": "up" if is_up else "down"}
    if _may_see(request, services):
        body["conditions"] = services.conditions.current
    return JSONResponse(body, status_code=200 if is_up else 503)


def _may_see(request: Request, services: Services) -> bool:
    """Tell whether a token is valid; a request without one is answered, too, because load balancers have none."""
    try:
        principal_of(request, services)
    except (NotAuthenticated, TooManyWrongTokens):
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
