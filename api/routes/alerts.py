"""What is wrong, and whether its channels work."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import error_responses
from tempogram.api.schemas.alerts import AlertsOut, TrialOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.engine.model.errors import LedgerError

router = APIRouter(tags=["alerts"], route_class=GuardedRoute)


@router.get("/alerts", dependencies=[requires(Role.VIEWER)], responses=error_responses(LedgerError))
async def show(dependencies: DependenciesOf) -> AlertsOut:
    """Show the alerts that are open, oldest first."""
    return AlertsOut.of(await dependencies.alerts.unfinished(), now_ms=dependencies.clock())


@router.post("/alerts/test", dependencies=[requires(Role.OPERATOR)], responses=error_responses())
async def test(dependencies: DependenciesOf) -> TrialOut:
    """Send a test alert by each channel at once, and return what came of it; takes up to 20 s."""
    return TrialOut.of(await dependencies.alert_trial())
