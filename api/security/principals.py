"""The callers of the API, and the bearer tokens of the settings. Those of users are in ``known_credentials``."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.identity.roles import Role

__all__ = ["BearerTokens", "Principal", "Role", "fault_of"]

TOKEN_CHARACTERS_MIN = 16
"""Sixteen random letters and digits are found by no number of requests."""

VISIBLE = re.compile(r"[!-~]+")
"""What every client and proxy passes on as it is. Source: https://www.rfc-editor.org/rfc/rfc9110#section-5.5"""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name for logs, and what it may do.

    Attributes:
        bots: The only ones that it sees and acts on; None: all.
        credential_id: Of an API token or a session; None: it has a token of the settings, or a proxy names it.
        user_id: Which user it is; None: none.
        expires_at_ms: When its API token expires; None: never.
        session_id: Of a browser that has logged in.
        logged_in_at_ms: When a person last logged in, in this browser; None: it is a program.
    """

    name: str
    role: Role
    bots: frozenset[int] | None = None
    credential_id: str | None = None
    user_id: str | None = None
    expires_at_ms: int | None = None
    session_id: str | None = None
    logged_in_at_ms: int | None = None

    @property
    def key(self) -> str:
        """What tells its credential from any other."""
        return self.credential_id or self.name


class BearerTokens:
    """Tells whose a bearer token is; it keeps digests only.

    Args:
        tokens: By the settings that have them, such as ``ADMIN_TOKEN``; empty ones are left out.

    Raises:
        SettingsError: A token is too short, cannot stand in a header, or has two roles; it is not quoted.
    """

    def __init__(self, tokens: Mapping[str, tuple[Role, str]]) -> None:
        self._principals: dict[bytes, Principal] = {}
        named: dict[bytes, str] = {}
        for setting, (role, token) in tokens.items():
            if not token:
                continue
            if fault := fault_of(token):
                raise SettingsError(f"{setting} {fault}")
            if (other := named.setdefault(_digest(token), setting)) != setting:
                raise SettingsError(f"{other} and {setting} are the same token; a token has one role")
            self._principals[_digest(token)] = Principal(role.name.lower(), role)
        if Role.ADMIN not in {each.role for each in self._principals.values()}:
            raise SettingsError("the admin token is empty, so that no caller could use the API; set ADMIN_TOKEN")

    def __repr__(self) -> str:
        return f"BearerTokens({', '.join(each.name for each in self._principals.values())})"

    def principal_of(self, token: str) -> Principal | None:
        """Return whose token this is; each is compared, in constant time."""
        given = _digest(token)
        found = [each for digest, each in self._principals.items() if hmac.compare_digest(given, digest)]
        return found[0] if found else None


def fault_of(token: str) -> str | None:
    """Return what is wrong with a token, as the end of a sentence; None: nothing.

    >>> fault_of("short")
    'has 5 characters; it needs at least 16'
    >>> fault_of("schlüssel-zu-allem")
    'has a character that not every client can send; use ASCII letters, digits and signs, and no spaces'
    >>> fault_of("correct-horse-battery-staple")
    """
    if not VISIBLE.fullmatch(token):
        return "has a character that not every client can send; use ASCII letters, digits and signs, and no spaces"
    if len(token) < TOKEN_CHARACTERS_MIN:
        return f"has {len(token)} characters; it needs at least {TOKEN_CHARACTERS_MIN}"
    return None


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()
