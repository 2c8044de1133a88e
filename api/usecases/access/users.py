"""Adds, changes and removes users."""

from __future__ import annotations

from typing import Any

import structlog
from pydantic import SecretStr

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.schemas.access.users import LinkOut, UserChange, UserIn, UserOut, UsersOut
from tempogram.api.schemas.fields import time_of
from tempogram.storage.identity.links import LINK_MS
from tempogram.storage.identity.users import User, role_of

log = structlog.get_logger()


async def all_users(dependencies: Dependencies) -> UsersOut:
    return UsersOut(users=[UserOut.of(each) for each in await dependencies.identity.users.all()])


async def add(dependencies: Dependencies, wanted: UserIn) -> UserOut:
    """Add a user.

    Raises:
        NameTaken: Another one has the name.
        UnfitPassword: The password is too easy to guess.
    """
    digest = await _digest(dependencies, wanted.password, wanted.name)
    user = await dependencies.identity.users.add(
        wanted.name, role_of(wanted.role), password_digest=digest, now_ms=dependencies.clock()
    )
    note(after={"id": user.id, **_noted(user)})
    log.info("user_added", user=user.id, role=wanted.role)
    return UserOut.of(user)


async def change(dependencies: Dependencies, user_id: str, wanted: UserChange) -> UserOut:
    """Change a user; every process knows it within 2 s.

    Raises:
        NotFound: There is no such user.
        UnfitPassword: The password is too easy to guess.
    """
    identity = dependencies.identity
    before = await user_of(dependencies, user_id)
    digest = await _digest(dependencies, wanted.password, before.name)
    if digest is not None:
        await identity.users.set_password(user_id, digest)
    role = None if wanted.role is None else role_of(wanted.role)
    changed = await identity.users.change(user_id, role=role, is_active=wanted.is_active)
    await identity.changed()
    if changed is None:
        raise _no_user(user_id)
    note(before=_noted(before), after=_noted(changed) | ({"password": "set"} if digest else {}))
    log.info("user_changed", user=user_id, role=changed.role.name.lower(), is_active=changed.is_active)
    return UserOut.of(changed)


async def remove(dependencies: Dependencies, user_id: str) -> None:
    """Remove a user with its tokens; raises ``NotFound``."""
    user = await user_of(dependencies, user_id)
    removed = await dependencies.identity.users.remove(user_id)
    await dependencies.identity.changed()
    if not removed:
        raise _no_user(user_id)
    note(before=_noted(user))
    log.info("user_removed", user=user_id)


async def link(dependencies: Dependencies, user_id: str) -> LinkOut:
    """Make a link with which a user logs in once; an earlier one ends. Raises ``NotFound``."""
    await user_of(dependencies, user_id)
    now_ms = dependencies.clock()
    made = await dependencies.identity.links.add(user_id, now_ms=now_ms)
    log.info("login_link_made", user=user_id)
    return LinkOut(link=made, expires_at=time_of(now_ms + LINK_MS))


async def user_of(dependencies: Dependencies, user_id: str) -> User:
    """Return a user; raises ``NotFound``."""
    user = await dependencies.identity.users.get(user_id)
    if user is None:
        raise _no_user(user_id)
    return user


async def _digest(dependencies: Dependencies, password: SecretStr | None, user_name: str) -> str | None:
    if password is None:
        return None
    return await dependencies.identity.passwords.digest(password.get_secret_value(), user_name=user_name)


def _noted(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role.name.lower(), "is_active": user.is_active}


def _no_user(user_id: str) -> NotFound:
    return NotFound(f"there is no user {user_id}")
