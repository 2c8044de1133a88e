"""Reads the limits, changes them at run time, and resets them to the environment's."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies, DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.limits import LimitsChange, LimitsOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.recovery import settings_sync

router = APIRouter(tags=["limits"], route_class=GuardedRoute)


@router.get("/limits", dependencies=[requires(Role.VIEWER)], responses=error_responses(LedgerError))
async def show(dependencies: DependenciesOf) -> LimitsOut:
    """Show the limits in force."""
    return LimitsOut.of(await dependencies.limits.current())


@router.patch(
    "/limits",
    dependencies=[requires(Role.ADMIN)],
    responses=error_responses(Malformed, Refusal, TooLarge, Invalid, LedgerError),
)
async def change(wanted: LimitsChange, dependencies: DependenciesOf) -> LimitsOut:
    """Change limits, at once and for all processes. Fields that are left out stay.

    They outlive a restart: a change takes precedence over the environment until ``DELETE /limits``. Limits that were
    lowered after a 429 are raised again.
    """
    before = LimitsOut.of(await dependencies.limits.current()).model_dump(mode="json")
    try:
        limits = await dependencies.limits.change(wanted.changes())
    except SettingsError as error:
        raise Refusal(str(error)) from None
    shown = await _put_in_force(dependencies, limits)
    note(before=before, after=shown.model_dump(mode="json"))
    return shown


@router.delete("/limits", dependencies=[requires(Role.ADMIN)], responses=error_responses(LedgerError))
async def reset(dependencies: DependenciesOf) -> LimitsOut:
    """Reset the limits to the environment's, at once and for all processes."""
    before = LimitsOut.of(await dependencies.limits.current()).model_dump(mode="json")
    shown = await _put_in_force(dependencies, await dependencies.limits.reset())
    note(before=before, after=shown.model_dump(mode="json"))
    return shown


async def _put_in_force(dependencies: Dependencies, limits: Limits) -> LimitsOut:
    """Configure the broker, after the database has them: the broker is rebuilt from it."""
    await settings_sync.configure(dependencies.broker, limits)
    return LimitsOut.of(limits)
