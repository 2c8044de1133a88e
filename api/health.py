"""Whether this process does its work, for whoever restarts it. Open to everybody, so it says no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.schemas import HealthOut
from api.services import ServicesOf

log = structlog.get_logger()

TIMEOUT_S = 1.0
"""A ledger that needs longer to be read is as good as away."""

router = APIRouter(tags=["health"])


@router.get("/health", response_model=HealthOut, responses={503: {"model": HealthOut, "description": "It is down."}})
async def health(services: ServicesOf) -> Response:
    """Say whether the ledger can be read and the engine's loops run."""
    is_up = await _is_up(services.healthy)
    return JSONResponse({"status": "up" if is_up else "down"}, status_code=200 if is_up else 503)


async def _is_up(healthy: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await asyncio.wait_for(healthy(), TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not well
        log.warning("health is in doubt", error=type(error).__name__)
        return False
