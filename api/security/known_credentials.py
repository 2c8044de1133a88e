"""Whose an API token or a session is: read from the database, and believed for a second.

So what is revoked or logged out, and what is of a user that is disabled or has another role, acts no more within a
second in any process, also while Redis is away; a process that is notified forgets at once. Only what is valid is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from tempogram.api.security.allowance import keep
from tempogram.api.security.principals import Principal
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Clock
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.sessions import SEEN_EVERY_MS, ApiSession
from tempogram.storage.identity.tokens import USED_EVERY_MS, ApiToken
from tempogram.storage.identity.users import User

BELIEVED_MS = 1_000
"""A read takes some 0.7 ms on SQLite, 1.5 ms on PostgreSQL; see ``bench.identity``."""

CREDENTIALS_MAX = 1_000
"""Those that are kept, the oldest forgotten first: some 0.5 MB."""

NEVER_MS = 0
"""When a person logged in here whom a proxy names."""

MayAsk = Callable[[str], bool]


class TokenReader(Protocol):
    """See ``storage.identity.tokens.ApiTokens``."""

    async def of_text(self, text: str, *, now_ms: int) -> ApiToken | None: ...

    async def note_use(self, token_id: str, *, now_ms: int) -> None: ...


class SessionReader(Protocol):
    """See ``storage.identity.sessions.ApiSessions``."""

    async def of_cookie(self, cookie: str, *, now_ms: int) -> ApiSession | None: ...

    async def note_use(self, session_id: str, *, now_ms: int) -> None: ...


class UserReader(Protocol):
    """See ``storage.identity.users.Users``."""

    async def named(self, name: str) -> User | None: ...


@dataclass(frozen=True, slots=True)
class Believed:
    """Whose a credential is, when that was read, and when it ends; None: not by itself."""

    principal: Principal
    at_ms: int
    ends_at_ms: int | None


class KnownCredentials:
    """Tells whose an API token or a session is; it keeps digests only."""

    def __init__(self, tokens: TokenReader, sessions: SessionReader, users: UserReader, *, clock: Clock) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._users = users
        self._clock = clock
        self._believed: dict[bytes, Believed] = {}
        self._times_forgotten = 0

    def __repr__(self) -> str:
        return "KnownCredentials(…)"

    async def of_token(self, text: str, *, may_ask: MayAsk) -> Principal | None:
        """Return whose API token this is; None: it is not valid, or was not looked at.

        Args:
            text: What the request has.
            may_ask: Tells whether the credential of this id is worth a query.

        Raises:
            LedgerError: The database cannot be read.

        Cost: one query a second for a valid token; one for any other that ends in its checksum, and no write.
        """
        return await self._known(text, Kind.TOKEN, may_ask, self._read_token)

    async def of_cookie(self, text: str, *, may_ask: MayAsk) -> Principal | None:
        """Return whose session this is. As ``of_token``; a valid one is written to once a minute."""
        return await self._known(text, Kind.SESSION, may_ask, self._read_session)

    async def of_name(self, name: str) -> Principal | None:
        """Return the user whom a proxy names; None: there is none, or it is disabled. As ``of_token``."""
        return await self._at_most_once_a_second(sha256(b"named " + name.encode()).digest(), self._read_user, name)

    def forget(self) -> None:
        """Read each credential again: a user, a token or a session was changed."""
        self._believed.clear()
        self._times_forgotten += 1

    async def _known(
        self, text: str, kind: Kind, may_ask: MayAsk, read: Callable[[str, int], Awaitable[Believed | None]]
    ) -> Principal | None:
        credential = Credential.read(text, kind)
        if credential is None:
            return None
        digest = sha256(text.encode()).digest()
        if (principal := self._held(digest)) is not None:
            return principal
        return await self._at_most_once_a_second(digest, read, text) if may_ask(credential.id) else None

    async def _at_most_once_a_second(
        self, digest: bytes, read: Callable[[str, int], Awaitable[Believed | None]], text: str
    ) -> Principal | None:
        if (principal := self._held(digest)) is not None:
            return principal
        before = self._times_forgotten
        self._believed.pop(digest, None)
        believed = await read(text, self._clock())
        if believed is None:
            return None
        if self._times_forgotten == before:  # else it may be older than the change
            keep(self._believed, digest, believed, keys_max=CREDENTIALS_MAX)
        return believed.principal

    def _held(self, digest: bytes) -> Principal | None:
        believed, now_ms = self._believed.get(digest), self._clock()
        return None if believed is None or not _holds(believed, now_ms) else believed.principal

    async def _read_token(self, text: str, now_ms: int) -> Believed | None:
        token = await self._tokens.of_text(text, now_ms=now_ms)
        if token is None:
            return None
        if token.last_used_at_ms is None or token.last_used_at_ms <= now_ms - USED_EVERY_MS:
            with suppress(LedgerError):  # it is only for people to see
                await self._tokens.note_use(token.id, now_ms=now_ms)
        return Believed(_of_token(token), now_ms, token.expires_at_ms)

    async def _read_session(self, cookie: str, now_ms: int) -> Believed | None:
        session = await self._sessions.of_cookie(cookie, now_ms=now_ms)
        if session is None:
            return None
        if session.seen_at_ms <= now_ms - SEEN_EVERY_MS:
            with suppress(LedgerError):  # the next request does it
                await self._sessions.note_use(session.id, now_ms=now_ms)
        return Believed(_of_session(session), now_ms, min(session.expires_at_ms, session.ends_at_ms))

    async def _read_user(self, name: str, now_ms: int) -> Believed | None:
        user = await self._users.named(name)
        if user is None or not user.is_active:
            return None
        return Believed(Principal(user.name, user.role, user_id=user.id, logged_in_at_ms=NEVER_MS), now_ms, None)


def _holds(believed: Believed, now_ms: int) -> bool:
    # A clock that was set back makes nothing valid for longer.
    return 0 <= now_ms - believed.at_ms < BELIEVED_MS and (believed.ends_at_ms is None or now_ms < believed.ends_at_ms)


def _of_token(token: ApiToken) -> Principal:
    name = token.name if token.user_name is None else f"{token.user_name}/{token.name}"
    return Principal(
        name,
        token.role,
        bots=token.bots,
        credential_id=token.id,
        user_id=token.user_id,
        expires_at_ms=token.expires_at_ms,
    )


def _of_session(session: ApiSession) -> Principal:
    return Principal(
        session.user_name,
        session.role,
        credential_id=session.token_id,
        user_id=session.user_id,
        session_id=session.id,
        logged_in_at_ms=session.created_at_ms,
    )
