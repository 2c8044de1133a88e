"""Log-in and log-out of browsers, as JSON. The page for it is in ``log_in_page``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import SecretStr

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies, DependenciesOf
from tempogram.api.core.errors import (
    Conflict,
    CrossSite,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
    TooManyLogIns,
    WrongLogIn,
    error_responses,
)
from tempogram.api.schemas.access.sessions import (
    CallerOut,
    EndedOut,
    LoggedInOut,
    LogInIn,
    PasswordIn,
    SessionOut,
    SessionsOut,
)
from tempogram.api.schemas.access.users import Id
from tempogram.api.schemas.fields import time_of
from tempogram.api.security.auth import GuardedRoute, StrictRoute, requires
from tempogram.api.security.browsers import (
    DEVICE,
    cookie_of,
    end_session,
    host_of,
    refuse_cross_site,
    set_device,
    set_session,
)
from tempogram.api.security.principals import Principal, Role
from tempogram.api.usecases.access import log_in
from tempogram.api.usecases.access.log_in import LoggedIn
from tempogram.engine.model.errors import LedgerError
from tempogram.storage.identity.passwords import TooManyPasswords, UnfitPassword

PATH = "/session"
PASSWORD_PATH = "/session/password"  # noqa: S105

BODY_BYTES_MAX = 16_384
"""A name, two passwords or a link, in a form with the longest escapes."""

open_router = APIRouter(tags=["sessions"], route_class=StrictRoute)
router = APIRouter(tags=["sessions"], route_class=GuardedRoute)

ANY_ROLE = [requires(Role.VIEWER, is_bounded=True)]
ANY_ROLE_RECENTLY = [requires(Role.VIEWER, is_bounded=True, is_recent=True)]

SessionPath = Annotated[Id, Path(examples=["0a1b2c3d4e5f"])]


@open_router.post(
    PATH,
    status_code=201,
    responses=error_responses(
        Malformed, WrongLogIn, CrossSite, TooLarge, Invalid, UnfitPassword, TooManyLogIns, TooManyPasswords, LedgerError
    ),
)
async def begin(request: Request, wanted: LogInIn, dependencies: DependenciesOf, response: Response) -> LoggedInOut:
    """Log in by name and password, or by a link; the answer sets a cookie. A session that the browser had ends.

    With a link, ``password`` is a new one to log in with later.
    """
    logged_in = await let_in(request, dependencies, name=wanted.name, password=wanted.password, link=wanted.link)
    set_cookies(request, response, logged_in)
    return LoggedInOut.of(logged_in.session)


@router.get(PATH, dependencies=ANY_ROLE, responses=error_responses(LedgerError))
async def caller(request: Request) -> CallerOut:
    """Tell who asks, and what it may do."""
    principal: Principal = request.state.principal
    return CallerOut(
        name=principal.name,
        role=principal.role.name.lower(),
        bots=None if principal.bots is None else [str(bot_id) for bot_id in sorted(principal.bots)],
        session_id=principal.session_id,
        logged_in_at=time_of(principal.logged_in_at_ms or None),
    )


@router.delete(PATH, status_code=204, dependencies=ANY_ROLE, responses=error_responses(Conflict, LedgerError))
async def log_out(request: Request, dependencies: DependenciesOf, response: Response) -> None:
    """Log out: the session of this request ends."""
    await log_in.log_out(dependencies, request.state.principal)
    end_session(request, response)


@router.put(
    PASSWORD_PATH,
    dependencies=ANY_ROLE_RECENTLY,
    responses=error_responses(
        *(Malformed, WrongLogIn, Conflict, TooLarge, Invalid, UnfitPassword, NotFound),
        *(TooManyLogIns, TooManyPasswords, LedgerError),
    ),
)
async def change_password(
    request: Request, wanted: PasswordIn, dependencies: DependenciesOf, response: Response
) -> LoggedInOut:
    """Change one's own password, in a browser that has logged in. All sessions end, and a new one begins."""
    logged_in = await log_in.change_password(
        dependencies,
        request.state.principal,
        present=_text(wanted.present),
        password=wanted.password.get_secret_value(),
        host=host_of(request),
        device=cookie_of(request, DEVICE),
    )
    set_cookies(request, response, logged_in)
    return LoggedInOut.of(logged_in.session)


@router.get("/sessions", dependencies=ANY_ROLE, responses=error_responses(LedgerError))
async def show_all(request: Request, dependencies: DependenciesOf) -> SessionsOut:
    """List one's own sessions, the oldest first."""
    principal = request.state.principal
    found = await log_in.own_sessions(dependencies, principal)
    return SessionsOut(sessions=[SessionOut.of(each, this=principal.session_id) for each in found])


@router.delete("/sessions", dependencies=ANY_ROLE_RECENTLY, responses=error_responses(Conflict, LedgerError))
async def log_out_everywhere(request: Request, dependencies: DependenciesOf, response: Response) -> EndedOut:
    """End all of one's own sessions, this one too."""
    ended = await log_in.end_all(dependencies, log_in.user_id_of(request.state.principal))
    note(before={"sessions": ended})
    end_session(request, response)
    return EndedOut(ended=ended)


@router.delete(
    "/sessions/{session_id}",
    dependencies=ANY_ROLE_RECENTLY,
    responses=error_responses(Conflict, NotFound, Invalid, LedgerError),
)
async def end(request: Request, session_id: SessionPath, dependencies: DependenciesOf) -> EndedOut:
    """End one of one's own sessions."""
    await log_in.end_one(dependencies, request.state.principal, session_id)
    return EndedOut(ended=1)


async def let_in(
    request: Request,
    dependencies: Dependencies,
    *,
    name: str | None,
    password: SecretStr | None,
    link: SecretStr | None,
) -> LoggedIn:
    """Log a user in by a name and its password, or by a link; see ``usecases.access.log_in`` for what it raises."""
    refuse_cross_site(request.headers, is_sure=False)
    host, replaced = host_of(request), None
    if dependencies.browsers is not None:
        replaced = await dependencies.browsers.session_of(
            request, may_ask=lambda key: dependencies.wrong_tokens.looks_at(host, key)
        )
    if link is not None:
        return await log_in.with_link(
            dependencies, link=link.get_secret_value(), password=_text(password), host=host, replaced=replaced
        )
    return await log_in.with_password(
        dependencies,
        name=name or "",
        password=_text(password) or "",
        host=host,
        device=cookie_of(request, DEVICE),
        replaced=replaced,
    )


def set_cookies(request: Request, response: Response, logged_in: LoggedIn) -> None:
    set_session(request, response, logged_in.cookie)
    set_device(request, response, logged_in.device)


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
