"""Shows whom a bot would re-engage, and sends nothing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, NotFound, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.routes.bots import BotPath
from tempogram.api.schemas.fields import TimeMs
from tempogram.api.schemas.reengagement import DryRunOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import reengagement
from tempogram.engine.model.errors import LedgerError

router = APIRouter(tags=["bots"], route_class=GuardedRoute)

After = Annotated[str, Query(pattern=r"^[-@A-Za-z0-9_:]{0,128}$")]
Limit = Annotated[int, Query(ge=1, le=reengagement.PAGE_MAX)]


@router.get(
    "/bots/{bot_id}/reengagement",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(Refusal, NotFound, Invalid, LedgerError),
)
async def dry_run(
    bot_id: BotPath,
    dependencies: DependenciesOf,
    at: TimeMs | None = None,
    after: After = "",
    limit: Limit = 100,
) -> DryRunOut:
    """List who would get what of the behaviour ``reengagement``, and who is left out and why. Nothing is sent.

    Without ``at`` those whose turn it is today by their own calendar, whatever the hour; with it only those whose hour
    it is then, by what is known of the chats now. Continue with ``after`` = the ``next_after`` of the last page.
    """
    return await reengagement.dry_run(dependencies, bot_id, at_ms=at, after=after, limit=limit)
