"""Lists, adds, changes and removes users."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.schemas.access.sessions import EndedOut
from tempogram.api.schemas.access.users import Id, LinkOut, RemovedUserOut, UserChange, UserIn, UserOut, UsersOut
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases.access import log_in, users
from tempogram.engine.model.errors import LedgerError
from tempogram.storage.identity.passwords import TooManyPasswords, UnfitPassword
from tempogram.storage.identity.users import NameTaken

router = APIRouter(tags=["users"], route_class=GuardedRoute)

UserPath = Annotated[Id, Path(examples=["0a1b2c3d4e5f"])]
ADMIN = [requires(Role.ADMIN)]
ADMIN_RECENTLY = [requires(Role.ADMIN, is_recent=True)]


@router.get("/users", dependencies=ADMIN, responses=error_responses(LedgerError))
async def show_all(dependencies: DependenciesOf) -> UsersOut:
    """List every user, by name."""
    return await users.all_users(dependencies)


@router.post(
    "/users",
    status_code=201,
    dependencies=ADMIN_RECENTLY,
    responses=error_responses(Malformed, NameTaken, TooLarge, Invalid, UnfitPassword, TooManyPasswords, LedgerError),
)
async def add(wanted: UserIn, dependencies: DependenciesOf) -> UserOut:
    """Add a user. Without a password it is let in by its API tokens, or by a link."""
    return await users.add(dependencies, wanted)


@router.patch(
    "/users/{user_id}",
    dependencies=ADMIN_RECENTLY,
    responses=error_responses(Malformed, NotFound, TooLarge, Invalid, UnfitPassword, TooManyPasswords, LedgerError),
)
async def change(user_id: UserPath, wanted: UserChange, dependencies: DependenciesOf) -> UserOut:
    """Change a user's role, disable or enable it, or set its password. Every process knows it within 2 s."""
    return await users.change(dependencies, user_id, wanted)


@router.delete(
    "/users/{user_id}", dependencies=ADMIN_RECENTLY, responses=error_responses(NotFound, Invalid, LedgerError)
)
async def remove(user_id: UserPath, dependencies: DependenciesOf) -> RemovedUserOut:
    """Remove a user, and all its tokens."""
    await users.remove(dependencies, user_id)
    return RemovedUserOut(id=user_id)


@router.post(
    "/users/{user_id}/link",
    status_code=201,
    dependencies=ADMIN_RECENTLY,
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def make_link(user_id: UserPath, dependencies: DependenciesOf, response: Response) -> LinkOut:
    """Make a link with which a user logs in once, within a day. An earlier one ends."""
    response.headers["Cache-Control"] = "no-store"
    return await users.link(dependencies, user_id)


@router.delete(
    "/users/{user_id}/sessions",
    dependencies=ADMIN,
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def log_out(user_id: UserPath, dependencies: DependenciesOf) -> EndedOut:
    """End all sessions of a user. Its tokens stay."""
    await users.user_of(dependencies, user_id)
    ended = await log_in.end_all(dependencies, user_id)
    note(before={"sessions": ended})
    return EndedOut(ended=ended)
