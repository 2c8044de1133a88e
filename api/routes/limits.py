"""The limits: look at them, change them while everything runs, go back to the environment's."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.dependencies import Services, ServicesOf
from tempogram.api.core.errors import Invalid, Malformed, TooLarge, declares
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.limits import LimitsChange, LimitsOut
from tempogram.api.security.auth import GuardedRoute, Role, requires
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.recovery import settings_sync

router = APIRouter(tags=["limits"], route_class=GuardedRoute)


@router.get("/limits", dependencies=[requires(Role.VIEWER)], responses=declares(LedgerError))
async def show(services: ServicesOf) -> LimitsOut:
    """Show the limits by which everything goes."""
    return LimitsOut.of(await services.limits.current())


@router.patch(
    "/limits",
    dependencies=[requires(Role.ADMIN)],
    responses=declares(Malformed, Refusal, TooLarge, Invalid, LedgerError),
)
async def change(wanted: LimitsChange, services: ServicesOf) -> LimitsOut:
    """Change limits, at once and for all processes. What is not named stays.

    They outlive a restart: what is changed here goes before the environment, until ``DELETE /limits``. What a 429 had
    lowered begins anew.
    """
    try:
        limits = await services.limits.change(wanted.changes())
    except SettingsError as error:
        raise Refusal(str(error)) from None
    return await _put_in_force(services, limits)


@router.delete("/limits", dependencies=[requires(Role.ADMIN)], responses=declares(LedgerError))
async def reset(services: ServicesOf) -> LimitsOut:
    """Go back to the limits of the environment, at once and for all processes."""
    return await _put_in_force(services, await services.limits.reset())


async def _put_in_force(services: Services, limits: Limits) -> LimitsOut:
    """The books have them before the broker, which is rebuilt from them."""
    await settings_sync.configure(services.broker, limits)
    return LimitsOut.of(limits)
