"""Makes, lists and revokes API tokens: an admin those of all users, other users their own."""

from __future__ import annotations

from typing import Any

import structlog

from tempogram.api.core.audit import IDS_MAX, note
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotAllowed, NotFound
from tempogram.api.schemas.access.tokens import NewTokenOut, TokenIn, TokenOut, TokensOut
from tempogram.api.security.principals import Principal, Role
from tempogram.api.usecases.access.users import user_of
from tempogram.storage.identity.tokens import ApiToken
from tempogram.storage.identity.users import role_of

log = structlog.get_logger()

NO_USER = "this token belongs to no user; a token of an admin or of a user is needed"


async def listed(dependencies: Dependencies, caller: Principal, user_id: str | None) -> TokensOut:
    """List tokens: for an admin those of a user or all, else the caller's own; none if it is no user.

    Raises:
        NotAllowed: The caller asks for another one's.
    """
    if caller.role is not Role.ADMIN and caller.user_id is None and user_id is None:
        return TokensOut(tokens=[])
    found = await dependencies.identity.tokens.all(user_id=_owner(caller, user_id))
    return TokensOut(tokens=[TokenOut.of(each) for each in found])


async def add(dependencies: Dependencies, caller: Principal, wanted: TokenIn) -> NewTokenOut:
    """Make a token. It may do no more than the caller, and is valid for no longer.

    Raises:
        NotAllowed: It would have another user or a higher role.
        NotFound: There is no such user.
    """
    now_ms, role, owner = dependencies.clock(), role_of(wanted.role), _owner(caller, wanted.user or caller.user_id)
    if role > caller.role:
        raise NotAllowed(f"a token of the role {wanted.role} is made by that role or a higher one")
    if owner is not None and role > (user := await user_of(dependencies, owner)).role:
        raise NotAllowed(f"user {user.name} has the role {user.role.name.lower()}, and so have its tokens at most")
    expires_at_ms = None if wanted.expires_in_s is None else now_ms + wanted.expires_in_s * 1_000
    made = await dependencies.identity.tokens.add(
        wanted.name,
        role,
        user_id=owner,
        bots=wanted.bots,
        expires_at_ms=_sooner(expires_at_ms, caller.expires_at_ms),
        now_ms=now_ms,
    )
    note(after=_noted(made.token))
    log.info("token_added", token=made.token.id, user=owner, role=wanted.role)
    return NewTokenOut(token=TokenOut.of(made.token), text=made.text)


async def revoke(dependencies: Dependencies, caller: Principal, token_id: str) -> None:
    """End a token in every process within 2 s.

    Raises:
        NotFound: The caller has no such token, or it was revoked before.
    """
    token = await dependencies.identity.tokens.get(token_id)
    if token is None or not _may_revoke(caller, token):
        raise _no_token(token_id)
    revoked = await dependencies.identity.tokens.revoke(token_id, now_ms=dependencies.clock())
    await dependencies.identity.changed()
    if not revoked:
        raise _no_token(token_id)
    note(before=_noted(token))
    log.info("token_revoked", token=token_id)


def _noted(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.name.lower(),
        "user": token.user_name,
        "bots": None if token.bots is None else sorted(token.bots)[:IDS_MAX],
        "expires_at_ms": token.expires_at_ms,
    }


def _owner(caller: Principal, user_id: str | None) -> str | None:
    """Return whose tokens are meant; None: all, or of no user."""
    if caller.role is Role.ADMIN:
        return user_id
    if caller.user_id is None:
        raise NotAllowed(NO_USER)
    if user_id not in {None, caller.user_id}:
        raise NotAllowed("tokens of other users are an admin's business")
    return caller.user_id


def _may_revoke(caller: Principal, token: ApiToken) -> bool:
    return caller.role is Role.ADMIN or (caller.user_id is not None and token.user_id == caller.user_id)


def _sooner(wanted_ms: int | None, caller_ms: int | None) -> int | None:
    return min((each for each in (wanted_ms, caller_ms) if each is not None), default=None)


def _no_token(token_id: str) -> NotFound:
    return NotFound(f"there is no token {token_id} that could be revoked")
