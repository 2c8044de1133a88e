"""Whose bearer token or session a request has. Every process asks it, also one that has no API."""

from __future__ import annotations

import hmac
from functools import partial

from starlette.requests import Request

from tempogram.api.core.errors import NotAllowed, NotAuthenticated, TooManyWrongTokens
from tempogram.api.core.monitored import Monitored
from tempogram.api.security.browsers import host_of, shows_session
from tempogram.api.security.principals import Principal


async def principal_of(request: Request, monitored: Monitored) -> Principal:
    """Return whose bearer token a request has, or which user its browser is logged in as.

    Raises:
        NotAuthenticated: There is no bearer token and no session, or it is not valid.
        TooManyWrongTokens: Too many came from this address that are not; this one was not looked at.
        CrossSite: Another site made the browser send it.
        LedgerError: It may be an API token or a session, and the database cannot be read.
    """
    host = host_of(request)
    token = bearer_of(request)
    if token is not None:
        principal, is_shown = await _of_token(token, host, monitored), True
    elif monitored.browsers is not None:
        principal = await monitored.browsers.principal_of(
            request, may_ask=partial(monitored.wrong_tokens.looks_at, host)
        )
        is_shown = shows_session(request)
    else:
        principal, is_shown = None, False
    if is_shown and not monitored.wrong_tokens.admits(host, principal):
        raise TooManyWrongTokens
    if principal is None:
        raise NotAuthenticated(_missing(token, is_shown))
    return principal


def bearer_of(request: Request) -> str | None:
    """Return the bearer token of a request; "" where the header has something else."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _of_token(token: str, host: str, monitored: Monitored) -> Principal | None:
    if not token:
        raise NotAuthenticated(NO_TOKEN)
    principal = monitored.tokens.principal_of(token)
    if principal is None and monitored.credentials is not None:
        looks_at = partial(monitored.wrong_tokens.looks_at, host)
        principal = await monitored.credentials.of_token(token, may_ask=looks_at)
    return principal


def _missing(token: str | None, is_shown: bool) -> str:  # noqa: FBT001
    if token is not None:
        return "this bearer token is not valid"
    return "the session has ended; log in again" if is_shown else NO_TOKEN


NO_TOKEN = "this needs the header Authorization: Bearer <token>"  # noqa: S105 - a sentence


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
