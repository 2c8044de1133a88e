"""Shows which chats of a bot a selection gives, and why others are left out."""

from __future__ import annotations

from fastapi import APIRouter

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.selections import PreviewOut, SelectedPageOut, SelectionIn, SelectionPageIn
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases import selections
from tempogram.engine.model.errors import LedgerError

PREVIEW, CHATS = "/selections/preview", "/selections/chats"

router = APIRouter(tags=["selections"], route_class=GuardedRoute)

WRONG = (Malformed, Invalid, Refusal, TooLarge, LedgerError)


@router.post(PREVIEW, dependencies=[requires(Role.VIEWER, is_bounded=True)], responses=error_responses(*WRONG))
async def preview(wanted: SelectionIn, dependencies: DependenciesOf, bounds: BoundsOf) -> PreviewOut:
    """Count the chats that would be written to now, and those that are left out, by reason."""
    bounds.check(wanted.bot)
    return await selections.preview(dependencies, wanted)


@router.post(CHATS, dependencies=[requires(Role.VIEWER, is_bounded=True)], responses=error_responses(*WRONG))
async def chats(wanted: SelectionPageIn, dependencies: DependenciesOf, bounds: BoundsOf) -> SelectedPageOut:
    """List the chats that would be written to now, page by page; nothing caps all pages together."""
    bounds.check(wanted.bot)
    return await selections.page(dependencies, wanted)
