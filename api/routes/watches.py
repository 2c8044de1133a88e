"""Shows what chats watch, and lets an operator change it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.watches import (
    KEY,
    NAME,
    MemberIn,
    ObservationsOut,
    PlanIn,
    PlanOut,
    PlansOut,
    SubscriptionIn,
    SubscriptionOut,
    WatchedPageOut,
    WatchesOut,
)
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases import watches
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.watches import Item

router = APIRouter(tags=["watches"], route_class=GuardedRoute)

PAGE_MAX = 1_000

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Source = Annotated[str, Query(pattern=NAME, examples=["prices"])]
Key = Annotated[str, Query(pattern=KEY, examples=["tea"])]

CHANGES = error_responses(Malformed, TooLarge, Invalid, Refusal, LedgerError)
READS = error_responses(Invalid, Refusal, LedgerError)


@router.get("/watches", dependencies=[requires(Role.VIEWER)], responses=error_responses(Refusal, LedgerError))
async def show(dependencies: DependenciesOf) -> WatchesOut:
    """Show how items are checked, and how many there are."""
    return await watches.show(dependencies)


@router.get("/watches/items", dependencies=[requires(Role.VIEWER)], responses=READS)
async def items(
    dependencies: DependenciesOf, source: Source, after: Key | None = None, limit: Limit = 100
) -> WatchedPageOut:
    """List the items of a source, by key; continue with ``after`` = the ``next_after`` of the last page."""
    return await watches.items(dependencies, source=source, after=after or "", limit=limit)


@router.get(
    "/watches/observations",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(Invalid, NotFound, Refusal, LedgerError),
)
async def observations(dependencies: DependenciesOf, source: Source, key: Key, limit: Limit = 100) -> ObservationsOut:
    """Show what was observed of an item, newest first; only what differed from before."""
    return await watches.observations(dependencies, Item(source, key), limit=limit)


@router.put("/watches/subscriptions", dependencies=[requires(Role.OPERATOR, is_bounded=True)], responses=CHANGES)
async def subscribe(wanted: SubscriptionIn, dependencies: DependenciesOf, bounds: BoundsOf) -> SubscriptionOut:
    """Let a chat watch an item; refused if it has as many as its plan allows."""
    bounds.check(wanted.bot)
    return await watches.subscribe(dependencies, wanted)


@router.delete("/watches/subscriptions", dependencies=[requires(Role.OPERATOR, is_bounded=True)], responses=READS)
async def end(
    meant: Annotated[SubscriptionIn, Query()], dependencies: DependenciesOf, bounds: BoundsOf
) -> SubscriptionOut:
    """Let a chat watch an item no longer; it is not notified of what has changed before."""
    bounds.check(meant.bot)
    return await watches.end(dependencies, meant)


@router.get("/watches/plans", dependencies=[requires(Role.VIEWER)], responses=error_responses(Refusal, LedgerError))
async def plans(dependencies: DependenciesOf) -> PlansOut:
    """List the plans."""
    return await watches.plans(dependencies)


@router.put("/watches/plans/{name}", dependencies=[requires(Role.OPERATOR)], responses=CHANGES)
async def put_plan(
    name: Annotated[str, Path(pattern=NAME, examples=["paid"])], wanted: PlanIn, dependencies: DependenciesOf
) -> PlanOut:
    """Add a plan, or change it for all chats that have it."""
    return await watches.put_plan(dependencies, name, wanted)


@router.put("/watches/members", dependencies=[requires(Role.OPERATOR, is_bounded=True)], responses=CHANGES)
async def give_plan(wanted: MemberIn, dependencies: DependenciesOf, bounds: BoundsOf) -> PlanOut:
    """Give a chat a plan."""
    bounds.check(wanted.bot)
    return await watches.give_plan(dependencies, wanted)
