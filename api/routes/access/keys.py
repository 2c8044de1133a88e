"""Under which ``SECRET_KEY`` secrets are encrypted, and its change while everything runs."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import error_responses
from tempogram.api.schemas.access.keys import KeysOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.engine.model.errors import LedgerError
from tempogram.storage.key_rotation import RotationRefused

router = APIRouter(tags=["keys"], route_class=GuardedRoute)


@router.get("/keys", dependencies=[requires(Role.ADMIN)], responses=error_responses(LedgerError))
async def show(dependencies: DependenciesOf) -> KeysOut:
    """Count the bots by the key under which their secrets are."""
    return KeysOut.of(await dependencies.keys.count(), has_two=dependencies.keys.has_two)


@router.post(
    "/keys/rotate",
    dependencies=[requires(Role.ADMIN, is_recent=True)],
    responses=error_responses(RotationRefused, LedgerError),
)
async def rotate(dependencies: DependenciesOf) -> KeysOut:
    """Encrypt everything with SECRET_KEY that is under FORMER_SECRET_KEY, while everything runs.

    Every process must have both keys. The same again goes on where a killed request ended.
    """
    shown = KeysOut.of(await dependencies.keys.rotate(), has_two=dependencies.keys.has_two)
    note(after=shown.model_dump(mode="json"))
    return shown
