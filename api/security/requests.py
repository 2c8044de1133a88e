"""Whose bearer token a request has. Every process asks it, also one that has no API."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from tempogram.api.core.errors import NotAuthenticated, TooManyWrongTokens
from tempogram.api.core.monitored import Monitored
from tempogram.api.security.principals import Principal


def principal_of(request: Request, monitored: Monitored) -> Principal:
    """Return whose bearer token a request has.

    Raises:
        NotAuthenticated: There is no bearer token, or it is not valid.
        TooManyWrongTokens: Too many came from this address that are not; this one was not looked at.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("this needs the header Authorization: Bearer <token>")
    principal = monitored.tokens.principal_of(token.strip())
    if not monitored.wrong_tokens.admits("" if request.client is None else request.client.host, principal):
        raise TooManyWrongTokens
    if principal is None:
        raise NotAuthenticated("this bearer token is not valid")
    return principal


def equal_in_constant_time(given: str, secret: str) -> bool:
    """Compare in constant time, so that a secret cannot be found out character by character."""
    return hmac.compare_digest(given.encode(), secret.encode())
