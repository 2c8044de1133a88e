"""Lists, makes and revokes API tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.schemas.access.tokens import NewTokenOut, RevokedOut, TokenIn, TokensOut
from tempogram.api.schemas.access.users import Id
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases.access import tokens
from tempogram.engine.model.errors import LedgerError

router = APIRouter(tags=["tokens"], route_class=GuardedRoute)


@router.get("/tokens", dependencies=[requires(Role.VIEWER)], responses=error_responses(Invalid, LedgerError))
async def show_all(
    request: Request, dependencies: DependenciesOf, user: Annotated[Id | None, Query()] = None
) -> TokensOut:
    """List one's own tokens; for an admin all, or those of a user."""
    return await tokens.listed(dependencies, request.state.principal, user)


@router.post(
    "/tokens",
    status_code=201,
    dependencies=[requires(Role.VIEWER, is_recent=True)],
    responses=error_responses(Malformed, NotFound, TooLarge, Invalid, LedgerError),
)
async def add(request: Request, wanted: TokenIn, dependencies: DependenciesOf, response: Response) -> NewTokenOut:
    """Make a token for oneself; as an admin also for another user, or for none. Its text is shown once.

    It may do no more than the token that makes it, nor than its user, and is valid for no longer than that token.
    """
    response.headers["Cache-Control"] = "no-store"
    return await tokens.add(dependencies, request.state.principal, wanted)


@router.delete(
    "/tokens/{token_id}",
    dependencies=[requires(Role.VIEWER, is_recent=True)],
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def revoke(
    request: Request, token_id: Annotated[Id, Path(examples=["0a1b2c3d4e5f"])], dependencies: DependenciesOf
) -> RevokedOut:
    """Revoke a token of one's own; as an admin any. It ends in every process within 2 s."""
    await tokens.revoke(dependencies, request.state.principal, token_id)
    return RevokedOut(id=token_id)
