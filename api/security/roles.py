"""The role that a bearer token gives."""

from __future__ import annotations

import hmac
from enum import IntEnum

from tempogram.api.core.errors import NotAuthenticated
from tempogram.api.core.monitored import Monitored


class Role(IntEnum):
    """Each role includes those below it."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


def role_of(authorization: str | None, monitored: Monitored) -> Role:
    """Return the role of a bearer token.

    Raises:
        NotAuthenticated: There is no bearer token, or it is not valid.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("this needs the header Authorization: Bearer <token>")
    if not equal_in_constant_time(token.strip(), monitored.admin_token):
        raise NotAuthenticated("this bearer token is not valid")
    return Role.ADMIN


def equal_in_constant_time(given: str, secret: str) -> bool:
    """Compare in constant time, so that a secret cannot be found out character by character."""
    return hmac.compare_digest(given.encode(), secret.encode())
