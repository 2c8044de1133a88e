"""Under which ``SECRET_KEY`` secrets are encrypted, and its change while everything runs."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies, DependenciesOf
from tempogram.api.core.errors import error_responses
from tempogram.api.schemas.access.keys import KeysOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.engine.model.errors import LedgerError
from tempogram.storage.key_rotation import RotationRefused

router = APIRouter(tags=["keys"], route_class=GuardedRoute)


@router.get("/keys", dependencies=[requires(Role.ADMIN)], responses=error_responses(LedgerError))
async def show(dependencies: DependenciesOf) -> KeysOut:
    """Count bots, API tokens, log-in links and sessions by the key under which they are stored."""
    return await _shown(dependencies)


@router.post(
    "/keys/rotate",
    dependencies=[requires(Role.ADMIN, is_recent=True)],
    responses=error_responses(RotationRefused, LedgerError),
)
async def rotate(dependencies: DependenciesOf) -> KeysOut:
    """Encrypt everything with SECRET_KEY that is under FORMER_SECRET_KEY, while everything runs.

    Every process must have both keys. The same again goes on where a killed request ended.
    """
    await dependencies.keys.rotate()
    shown = await _shown(dependencies)
    note(after=shown.model_dump(mode="json"))
    return shown


async def _shown(dependencies: Dependencies) -> KeysOut:
    keys = dependencies.keys
    return KeysOut.of(await keys.state(now_ms=dependencies.clock()), has_two=keys.has_two)
