"""Counts the queue; lists, replays and purges dead letters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from tempogram.api.core.audit import IDS_MAX, note
from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotAllowed, TooLarge, error_responses
from tempogram.api.schemas.fields import BotId, MessageId, Tag
from tempogram.api.schemas.queue import (
    DeadLettersOut,
    PurgedOut,
    QueueStatsOut,
    ReplayedOut,
    Selection,
    SelectionQuery,
)
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import ALL, Bounds, BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases import dead_letters
from tempogram.api.usecases.queue_stats import counted
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError

router = APIRouter(tags=["queue"], route_class=GuardedRoute)

Limit = Annotated[int, Query(ge=1, le=dead_letters.PAGE_MAX)]


@router.get(
    "/queue/stats",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(LedgerError, BrokerUnavailable),
    response_model_exclude_none=True,
)
async def stats(dependencies: DependenciesOf) -> QueueStatsOut:
    """Count open messages, each once, and dead letters; what is watched, if anything; what runs of broadcasts."""
    return await counted(dependencies)


@router.get(
    "/queue/dlq", dependencies=[requires(Role.VIEWER, is_bounded=True)], responses=error_responses(Invalid, LedgerError)
)
async def dead_letter_page(
    dependencies: DependenciesOf,
    bounds: BoundsOf,
    after: MessageId | None = None,
    limit: Limit = 100,
    bot: BotId | None = None,
    tag: Tag | None = None,
) -> DeadLettersOut:
    """List dead letters, oldest first; continue with ``after`` = the ``next_after`` of the last page."""
    return await dead_letters.page(dependencies, after=after or "", limit=limit, bot_id=bounds.one(bot), tag=tag)


@router.post(
    "/queue/dlq/replay",
    dependencies=[requires(Role.OPERATOR, is_bounded=True)],
    responses=error_responses(Malformed, TooLarge, Invalid, LedgerError),
)
async def replay(selection: Selection, dependencies: DependenciesOf, bounds: BoundsOf) -> ReplayedOut:
    """Queue dead letters again, with their attempts reset; ids that are not dead letters are skipped."""
    _check_bounds(selection, bounds)
    replayed = await dead_letters.replay(dependencies, selection)
    note(after={**_selected(selection), "replayed": replayed})
    return ReplayedOut(replayed=replayed)


@router.delete(
    "/queue/dlq",
    dependencies=[requires(Role.OPERATOR, is_bounded=True, is_recent=True)],
    responses=error_responses(Invalid, LedgerError),
)
async def purge(
    selection: Annotated[SelectionQuery, Query()], dependencies: DependenciesOf, bounds: BoundsOf
) -> PurgedOut:
    """Remove dead letters for good: ``?ids=…&ids=…``, ``?bot=…`` or ``?all=true``."""
    _check_bounds(selection, bounds)
    purged = await dead_letters.purge(dependencies, selection)
    note(after={**_selected(selection), "purged": purged})
    return PurgedOut(purged=purged)


def _selected(selection: Selection) -> dict[str, Any]:
    """Return which dead letters were meant."""
    return {"ids": None if selection.ids is None else list(selection.ids)[:IDS_MAX], "bot": selection.bot}


def _check_bounds(selection: Selection, bounds: Bounds) -> None:
    """Refuse what is not of one bot that the token is for: ids may be of any bot."""
    if bounds == ALL:
        return
    if selection.bot is None:
        raise NotAllowed("this token is bound to bots; choose dead letters by bot")
    bounds.check(selection.bot)
