"""Logs users in and out, and lets them see and end their own sessions."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import Conflict, NotFound, TooManyLogIns, TooManyWrongTokens, WrongLogIn
from tempogram.api.security.audited import write_down_of
from tempogram.api.security.browsers import DEVICE_S
from tempogram.api.security.principals import Principal
from tempogram.api.security.wrong_tokens import address_of
from tempogram.storage.identity.passwords import TooManyPasswords
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.sessions import ApiSession, NewSession
from tempogram.storage.identity.users import User

log = structlog.get_logger()

WRONG = "the name or the password is wrong"
WRONG_LINK = "this link is not valid: it was used, has expired, or another one was made after it"
NO_USER = "this is of users, and the credential of this request belongs to none"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session that has begun, and the cookies for its browser."""

    session: ApiSession
    cookie: str = field(repr=False)
    device: str = field(repr=False)


async def with_password(
    dependencies: Dependencies, *, name: str, password: str, host: str, device: str | None, replaced: Principal | None
) -> LoggedIn:
    """Log a user in by its password.

    ``device`` is the browser's cookie from a log-in before, as ``LogInThrottle`` has it. The session that it has now
    (``replaced``) ends: no session outlives a log-in.

    Raises:
        WrongLogIn: The name or the password is wrong, or the user is disabled.
        TooManyLogIns: It was not compared, as too many wrong ones came before.
        TooManyPasswords: Too many others wait.
    """
    identity = dependencies.identity
    attempt = identity.throttle.attempt(host, name, device)
    if isinstance(attempt, int):
        raise TooManyLogIns(attempt)
    user = await identity.users.named(name)
    digest = None if user is None else await identity.users.password_digest(user.id)
    try:
        is_right = await identity.passwords.is_of(digest, password)
    except TooManyPasswords:
        attempt.give_back()
        raise
    begun = await _begin(dependencies, user, host, digest) if is_right and user is not None else None
    if begun is None or user is None:
        log.warning("log_in_refused", address=address_of(host), user=None if user is None else user.id, reason="wrong")
        raise WrongLogIn(WRONG)
    attempt.give_back()
    return await _logged_in(dependencies, user, begun, host, replaced, "password")


async def with_link(
    dependencies: Dependencies, *, link: str, password: str | None, host: str, replaced: Principal | None
) -> LoggedIn:
    """Log a user in by a link, which is used up; with a password this is the user's from now on.

    Raises:
        WrongLogIn: It is not valid (any more).
        TooManyWrongTokens: It was not looked at, as too many wrong ones came from this address.
        UnfitPassword: The password is too easy to guess; the link stays valid.
    """
    identity, now_ms = dependencies.identity, dependencies.clock()
    credential = Credential.read(link, Kind.LINK)
    if credential is not None and not dependencies.wrong_tokens.looks_at(host, credential.id):
        raise TooManyWrongTokens
    digest = None
    if credential is not None and password is not None:
        digest = await identity.passwords.digest(password)
    user_id = None if credential is None else await identity.links.use(link, now_ms=now_ms)
    user = None if user_id is None else await identity.users.get(user_id)
    if user is not None and digest is not None:
        await identity.users.set_password(user.id, digest)
        await identity.changed()
    begun = None if user is None else await _begin(dependencies, user, host, digest)
    if user is None or begun is None:
        dependencies.wrong_tokens.admits(host, None)
        log.warning("log_in_refused", address=address_of(host), user=user_id, reason="link")
        raise WrongLogIn(WRONG_LINK)
    return await _logged_in(dependencies, user, begun, host, replaced, "link")


async def change_password(
    dependencies: Dependencies, caller: Principal, *, present: str | None, password: str, host: str, device: str | None
) -> LoggedIn:
    """Change one's own password: all sessions end, and a new one begins.

    Raises:
        Conflict: The caller is no user in a browser.
        WrongLogIn: The present password is wrong.
        TooManyLogIns: It was not compared.
        UnfitPassword: The new one is too easy to guess.
    """
    identity, user = dependencies.identity, await _user_in_browser(dependencies, caller)
    stored = await identity.users.password_digest(user.id)
    if stored is not None:
        attempt = identity.throttle.attempt(host, user.name, device)
        if isinstance(attempt, int):
            raise TooManyLogIns(attempt)
        if not await identity.passwords.is_of(stored, present or ""):
            raise WrongLogIn("the present password is wrong")
        attempt.give_back()
    digest = await identity.passwords.digest(password, user_name=user.name)
    await identity.users.set_password(user.id, digest)
    await identity.changed()
    begun = await _begin(dependencies, user, host, digest)
    if begun is None:
        raise WrongLogIn("the user was changed meanwhile; log in again")
    return await _logged_in(dependencies, user, begun, host, None, "new password")


async def own_sessions(dependencies: Dependencies, caller: Principal) -> list[ApiSession]:
    """Return the caller's sessions; none if it is no user."""
    if caller.user_id is None:
        return []
    return await dependencies.identity.sessions.of_user(caller.user_id, now_ms=dependencies.clock())


async def log_out(dependencies: Dependencies, caller: Principal) -> None:
    """End the session of this request, in every process.

    Raises:
        Conflict: It has none.
    """
    if caller.session_id is None:
        raise Conflict("there is no session to end: this request has a token, or a proxy names its user")
    await _end(dependencies, caller)


async def end_one(dependencies: Dependencies, caller: Principal, session_id: str) -> None:
    """End a session of one's own; raises ``NotFound``."""
    user_id = user_id_of(caller)
    if not await dependencies.identity.sessions.end(session_id, user_id=user_id):
        raise NotFound(f"there is no session {session_id} of yours that could be ended")
    await dependencies.identity.changed()
    log.info("session_ended", session=session_id, user=user_id)


async def end_all(dependencies: Dependencies, user_id: str) -> int:
    """End all sessions of a user, and return how many."""
    ended = await dependencies.identity.sessions.end_all(user_id)
    await dependencies.identity.changed()
    log.info("sessions_ended", user=user_id, count=ended)
    return ended


def user_id_of(caller: Principal) -> str:
    """Return which user the caller is; raises ``Conflict`` if it is none."""
    if caller.user_id is None:
        raise Conflict(NO_USER)
    return caller.user_id


async def _begin(dependencies: Dependencies, user: User, host: str, digest: str | None) -> NewSession | None:
    return await dependencies.identity.sessions.add(
        user.id, address=host, now_ms=dependencies.clock(), password_digest=digest
    )


async def _logged_in(
    dependencies: Dependencies, user: User, begun: NewSession, host: str, replaced: Principal | None, by: str
) -> LoggedIn:
    if replaced is not None and replaced.session_id is not None:
        await _end(dependencies, replaced)
    log.info("logged_in", user=user.id, session=begun.session.id, by=by)
    principal = Principal(user.name, begun.session.role, user_id=user.id)
    await write_down_of(
        dependencies, principal, address=host, action="POST /session", target=f"session={begun.session.id}", by=by
    )
    device = dependencies.identity.throttle.device_of(user.name, valid_s=DEVICE_S)
    return LoggedIn(begun.session, begun.cookie, device)


async def _end(dependencies: Dependencies, caller: Principal) -> None:
    await dependencies.identity.sessions.end(str(caller.session_id), user_id=str(caller.user_id))
    await dependencies.identity.changed()
    log.info("session_ended", session=caller.session_id, user=caller.user_id)


async def _user_in_browser(dependencies: Dependencies, caller: Principal) -> User:
    if caller.session_id is None:
        raise Conflict("one's own password is changed in a session of a browser; an admin sets that of another user")
    user = await dependencies.identity.users.get(user_id_of(caller))
    if user is None:
        raise NotFound("this user was removed")
    return user
