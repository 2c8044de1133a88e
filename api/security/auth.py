"""Who may do what: a bearer token, and the role it stands for."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import IntEnum
from json import JSONDecodeError
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tempogram.api.core.dependencies import Services
from tempogram.api.core.errors import NotAllowed, NotAuthenticated

BEARER = HTTPBearer(auto_error=False, description="The admin token.")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Role(IntEnum):
    """Each may do what those below it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class GuardedRoute(APIRoute):
    """Turns a stranger away before his body is read: FastAPI reads it before any dependency is asked."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.role = role_of(request.headers.get("authorization"), request.app.state.services)
            async with self.read(request) as strict:
                return await handle(strict)

        return guarded

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Lend the request with its body, which is read here: FastAPI would turn what ``bounds`` raises into a 400."""
        strict = StrictRequest(request.scope, request.receive)
        await strict.body()
        yield strict


class StrictRequest(Request):
    """Reads JSON as the standard says: no NaN, no half surrogates, which no column and no wire could hold."""

    async def json(self) -> Any:
        try:
            return msgspec.json.decode(await self.body())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JSONDecodeError(str(error), "", 0) from None


def requires(role: Role) -> Any:
    """Let a route be used only with a role that is at least this one."""

    async def check(
        request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> None:
        if request.state.role < role:
            raise NotAllowed(f"this needs the role {role.name.lower()}")

    return Depends(check)


def role_of(authorization: str | None, services: Services) -> Role:
    """Return what the bearer may do.

    Raises:
        NotAuthenticated: There is no bearer token, or it is none of ours.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("this needs the header Authorization: Bearer <token>")
    if not is_same(token.strip(), services.admin_token):
        raise NotAuthenticated("this bearer token is not valid")
    return Role.ADMIN


def is_same(given: str, secret: str) -> bool:
    """Compare in constant time, so that nobody can guess a secret character by character."""
    return hmac.compare_digest(given.encode(), secret.encode())
