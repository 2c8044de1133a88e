"""Authorization: a bearer token, and the role that it gives."""

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
    """Each role includes those below it."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class GuardedRoute(APIRoute):
    """Refuses a request without a valid token before its body is read; FastAPI reads the body before any dependency."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.role = role_of(request.headers.get("authorization"), request.app.state.services)
            async with self.read(request) as strict:
                return await handle(strict)

        return guarded

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body here: FastAPI would turn the error of ``BodyLimits`` into a 400."""
        strict = StrictRequest(request.scope, request.receive)
        await strict.body()
        yield strict


class StrictRequest(Request):
    """Reads strict JSON: no NaN and no lone surrogates, which no column can store."""

    async def json(self) -> Any:
        try:
            return msgspec.json.decode(await self.body())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JSONDecodeError(str(error), "", 0) from None


def requires(role: Role) -> Any:
    """Return a dependency that refuses roles below this one."""

    async def check(
        request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> None:
        if request.state.role < role:
            raise NotAllowed(f"this needs the role {role.name.lower()}")

    return Depends(check)


def role_of(authorization: str | None, services: Services) -> Role:
    """Return the role of a bearer token.

    Raises:
        NotAuthenticated: There is no bearer token, or it is not valid.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("this needs the header Authorization: Bearer <token>")
    if not equal_in_constant_time(token.strip(), services.admin_token):
        raise NotAuthenticated("this bearer token is not valid")
    return Role.ADMIN


def equal_in_constant_time(given: str, secret: str) -> bool:
    """Compare in constant time, so that a secret cannot be found out character by character."""
    return hmac.compare_digest(given.encode(), secret.encode())
