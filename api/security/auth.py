"""Authorization: the role that a route needs, and the one that a request has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from json import JSONDecodeError
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tempogram.api.core.audit import noting
from tempogram.api.core.errors import NotAllowed
from tempogram.api.core.json_depth import TOO_DEEP, is_too_deep
from tempogram.api.security.audited import is_audited, write_down
from tempogram.api.security.principals import Role
from tempogram.api.security.requests import principal_of

BEARER = HTTPBearer(auto_error=False, description="A token of the role viewer, operator or admin.")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """Refuses a request without a valid token before its body is read; FastAPI reads the body before any dependency."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        action = f"{min(self.methods or {''})} {self.path}"

        async def guarded(request: Request) -> Response:
            request.state.principal = principal_of(request, request.app.state.dependencies)
            async with self.read(request) as strict:
                if not is_audited(action):
                    return await handle(strict)
                with noting() as noted:
                    response = await handle(strict)
                await write_down(request, action, noted, response)
                return response

        return guarded

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body here: FastAPI would turn the error of ``BodyLimits`` into a 400."""
        strict = StrictRequest(request.scope, request.receive)
        await strict.body()
        yield strict


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


def requires(role: Role) -> Any:
    """Return a dependency that refuses roles below this one."""

    async def check(
        request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> None:
        refuse_below(role, request)

    return Depends(check)


def refuse_below(role: Role, request: Request) -> None:
    """Refuse what a request's role does not allow.

    Raises:
        NotAllowed: It is below this one.
    """
    if request.state.principal.role < role:
        raise NotAllowed(f"this needs the role {role.name.lower()}")
