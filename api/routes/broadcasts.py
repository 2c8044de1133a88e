"""Makes, lists, previews and controls broadcasts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.http.forms import BroadcastFormRoute, FilesOf, form_body
from tempogram.api.schemas.broadcasts import ID_MAX, BroadcastIn, BroadcastOut, BroadcastsOut, ForecastOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases import broadcasts
from tempogram.engine.broadcasts.board import BroadcastConflict, UnknownBroadcast
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.storage.files.spool import FileTooLarge

PATH = "/broadcasts"

router = APIRouter(tags=["broadcasts"], route_class=GuardedRoute)
forms = APIRouter(tags=["broadcasts"], route_class=BroadcastFormRoute)
"""The route that takes files, too."""

BroadcastId = Annotated[int, Path(ge=1, le=ID_MAX, examples=[7])]
Before = Annotated[int | None, Query(ge=1, le=ID_MAX, description="next_before of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100)]

SEEN = (UnknownBroadcast, Invalid, LedgerError, BrokerUnavailable)
CHANGED = error_responses(BroadcastConflict, *SEEN)
OPERATOR = [requires(Role.OPERATOR, is_bounded=True)]


@forms.post(
    PATH,
    status_code=201,
    dependencies=OPERATOR,
    responses=error_responses(Malformed, Refusal, TooLarge, FileTooLarge, Invalid, LedgerError, BrokerUnavailable),
    openapi_extra=form_body(BroadcastIn, {"name": "spring", "selection": '{"languages": ["en"]}'}),
)
async def create(wanted: BroadcastIn, files: FilesOf, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Make a broadcast, from JSON or, with files, from a form. It is a draft: nothing is sent before it is started.

    A form is that of `POST /messages`. Its files are uploaded once, and all further chats get them by `file_id`.
    """
    bounds.check(wanted.bot)
    return await broadcasts.create(dependencies, wanted, files)


@router.get(
    "/broadcasts",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(Invalid, LedgerError, BrokerUnavailable),
)
async def page(dependencies: DependenciesOf, before: Before = None, limit: Limit = 20) -> BroadcastsOut:
    """List broadcasts, newest first."""
    return await broadcasts.page(dependencies, before=before, limit=limit)


@router.get(
    "/broadcasts/{broadcast_id}",
    dependencies=[requires(Role.VIEWER, is_bounded=True)],
    responses=error_responses(*SEEN),
)
async def show(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Show how far a broadcast is, what came of it, and when its last message arrives.

    Of a paid one that has ended, also what Telegram billed: it is asked at most once a minute, until the answer is of
    an hour after the end; while it gives none then, once an hour.
    """
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.show(dependencies, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/preview", dependencies=OPERATOR, responses=error_responses(Refusal, *SEEN))
async def preview(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> ForecastOut:
    """Say what it would do if it were started now: to how many, to whom not and why, until when, and at what cost."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.preview(dependencies, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/start", dependencies=OPERATOR, responses=CHANGED)
async def start(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Begin to send a draft."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.start, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/pause", dependencies=OPERATOR, responses=CHANGED)
async def pause(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Send nothing more of it until it is resumed. What waits in the queue is taken back, and waits again."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.pause, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/resume", dependencies=OPERATOR, responses=CHANGED)
async def resume(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Go on with a broadcast that is paused."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.resume, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/cancel", dependencies=OPERATOR, responses=CHANGED)
async def cancel(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """End a broadcast for good. What waits in the queue is cancelled; a call in flight is finished."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.cancel, broadcast_id)


@router.post("/broadcasts/{broadcast_id}/retry", dependencies=OPERATOR, responses=CHANGED)
async def retry(broadcast_id: BroadcastId, dependencies: DependenciesOf, bounds: BoundsOf) -> BroadcastOut:
    """Send again to those that failed (dead, expired, refused), once it is done. Their dead letters are cancelled."""
    await broadcasts.check_bounds(dependencies, broadcast_id, bounds)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.retry, broadcast_id)
