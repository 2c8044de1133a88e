"""Authorization: the role that a route needs, and the one that a request has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from json import JSONDecodeError
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from tempogram.api.core.audit import noting
from tempogram.api.core.errors import LogInAgain, NotAllowed
from tempogram.api.core.json_depth import TOO_DEEP, is_too_deep
from tempogram.api.schemas.fields import read_bot
from tempogram.api.security.audited import is_audited, write_down
from tempogram.api.security.bounds import Bounds
from tempogram.api.security.browsers import SESSION
from tempogram.api.security.principals import Role
from tempogram.api.security.requests import principal_of, refuse_bound

BEARER = HTTPBearer(auto_error=False, description="A token of the settings, or an API token.")

COOKIE = APIKeyCookie(
    name=SESSION, auto_error=False, description="A session of a browser; POST /session begins one. Over TLS __Host-…."
)

NO_ROLE = "none"

RECENT_MS = 15 * 60_000
"""How long after a log-in a browser may do what needs a recent one. untuned: as others have it."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Reads a body before any dependency, as strict JSON. By itself it lets everyone in, and says so."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.openapi_extra = {"x-role": NO_ROLE, **(self.openapi_extra or {})}

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            async with self.read(request) as read:
                return await handle(read)

        return strict

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body here: FastAPI would turn the error of ``BodyLimits`` into a 400."""
        strict = StrictRequest(request.scope, request.receive)
        await strict.body()
        yield strict


class GuardedRoute(StrictRoute):
    """Refuses a request without a valid credential before its body is read; FastAPI reads it before any dependency.

    Its description says which role it needs (``x-role``).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for each in self.dependencies:
            if isinstance(each.dependency, Requirement):
                self.openapi_extra = {**(self.openapi_extra or {}), **each.dependency.described}

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        action = f"{min(self.methods or {''})} {self.path}"

        async def guarded(request: Request) -> Response:
            request.state.principal = await principal_of(request, request.app.state.dependencies)
            if not is_audited(action):
                return await handle(request)
            with noting() as noted:
                response = await handle(request)
            await write_down(request, action, noted, response)
            return response

        return guarded


class StrictRequest(Request):
    """Reads strict JSON: no NaN and no lone surrogates, which no column can store, and nothing too deep."""

    async def json(self) -> Any:
        try:
            value = msgspec.json.decode(await self.body())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JSONDecodeError(str(error), "", 0) from None
        if is_too_deep(value):
            raise JSONDecodeError(TOO_DEEP, "", 0)
        return value


class Requirement:
    """What a route needs of a caller."""

    def __init__(self, role: Role, *, is_bounded: bool, is_recent: bool) -> None:
        self._role = role
        self._is_bounded = is_bounded
        self._is_recent = is_recent

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
        _cookie: Annotated[str | None, Security(COOKIE)],
    ) -> None:
        """Refuse roles below, bots that the token is not for, and a browser whose log-in is too long ago."""
        refuse_below(self._role, request)
        principal, bot_id = request.state.principal, request.path_params.get("bot_id")
        if bot_id is not None:
            Bounds(principal.bots).check(_number(bot_id))
        elif not self._is_bounded:
            refuse_bound(principal)
        if self._is_recent:
            refuse_long_ago(request)

    @property
    def described(self) -> dict[str, Any]:
        """What the OpenAPI description says of it."""
        return {"x-role": self._role.name.lower()} | ({"x-recent-log-in": True} if self._is_recent else {})


def requires(role: Role, *, is_bounded: bool = False, is_recent: bool = False) -> Any:
    """Return a dependency that refuses roles below this one, and bots that the token is not for.

    Args:
        role: The lowest one that may.
        is_bounded: The endpoint itself asks ``BoundsOf`` which bots the token is for. Else a token that is bound to
            bots is refused, unless the path names its bot.
        is_recent: A browser must have logged in within ``RECENT_MS``: who finds it open, or steals its cookie, does
            not make credentials, or delete what cannot be had again.
    """
    return Depends(Requirement(role, is_bounded=is_bounded, is_recent=is_recent))


def refuse_long_ago(request: Request) -> None:
    """Refuse a browser whose last log-in is too long ago; a program has none.

    Raises:
        LogInAgain: It is.
    """
    at_ms = request.state.principal.logged_in_at_ms
    if at_ms is not None and request.app.state.dependencies.clock() - at_ms > RECENT_MS:
        raise LogInAgain(f"this needs a log-in within the last {RECENT_MS // 60_000} minutes; log in again")


def refuse_below(role: Role, request: Request) -> None:
    """Refuse what a request's role does not allow.

    Raises:
        NotAllowed: It is below this one.
    """
    if request.state.principal.role < role:
        raise NotAllowed(f"this needs the role {role.name.lower()}")


def _number(bot_id: str) -> int:
    """Return the bot of a path; 0, which no token is for, for what is none."""
    try:
        return read_bot(bot_id)
    except ValueError:
        return 0
