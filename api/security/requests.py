"""Whose bearer token a request has. Every process asks it, also one that has no API."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from tempogram.api.core.errors import NotAllowed, NotAuthenticated, TooManyWrongTokens
from tempogram.api.core.monitored import Monitored
from tempogram.api.security.principals import Principal


async def principal_of(request: Request, monitored: Monitored) -> Principal:
    """Return whose bearer token a request has.

    Raises:
        NotAuthenticated: There is no bearer token, or it is not valid.
        TooManyWrongTokens: Too many came from this address that are not; this one was not looked at.
        LedgerError: It may be an API token, and the database cannot be read.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("this needs the header Authorization: Bearer <token>")
    host = "" if request.client is None else request.client.host
    principal = monitored.tokens.principal_of(token.strip())
    if principal is None and monitored.api_tokens is not None:
        principal = await monitored.api_tokens.principal_of(
            token.strip(), may_ask=lambda key: monitored.wrong_tokens.looks_at(host, key)
        )
    if not monitored.wrong_tokens.admits(host, principal):
        raise TooManyWrongTokens
    if principal is None:
        raise NotAuthenticated("this bearer token is not valid")
    return principal


async def unbound_principal_of(request: Request, monitored: Monitored) -> Principal:
    """Return the same, for what is of all bots; raises also as ``refuse_bound``."""
    principal = await principal_of(request, monitored)
    refuse_bound(principal)
    return principal


def refuse_bound(principal: Principal) -> None:
    """Refuse a token that is bound to bots.

    Raises:
        NotAllowed: It is.
    """
    if principal.bots is not None:
        raise NotAllowed("this is of all bots, and this token is bound to some")


def equal_in_constant_time(given: str, secret: str) -> bool:
    """Compare in constant time, so that a secret cannot be found out character by character."""
    return hmac.compare_digest(given.encode(), secret.encode())
