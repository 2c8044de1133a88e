"""Who changed what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, error_responses
from tempogram.api.schemas.access.audit import AuditOut
from tempogram.api.schemas.fields import MessageId
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.engine.model.errors import LedgerError

router = APIRouter(tags=["audit"], route_class=GuardedRoute)

PAGE_MAX = 1_000

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Word = Annotated[str, Query(max_length=200)]


@router.get("/audit", dependencies=[requires(Role.ADMIN)], responses=error_responses(Invalid, LedgerError))
async def page(
    dependencies: DependenciesOf,
    before: MessageId | None = None,
    limit: Limit = 100,
    who: Word | None = None,
    target: Word | None = None,
) -> AuditOut:
    """List what was changed, newest first: by whom, from where, and what was there before and after.

    Continue with ``before`` = the ``next_before`` of the last page. ``who`` and ``target`` are as the list has them.
    """
    found = await dependencies.audit.page(before_id=before, limit=limit + 1, who=who, target=target)
    return AuditOut.of(found, limit=limit)
