"""Sessions: what a browser is let in by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, delete, insert, select, update

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_sessions, users
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind, new_id
from tempogram.storage.identity.users import role_of
from tempogram.storage.present_key import PRESENT_KEY, follow, renew

IDLE_MS = 12 * 3_600_000
ABSOLUTE_MS = 7 * 24 * 3_600_000
"""How long a session lives without a request, and however many there are. untuned: a working day, and a week."""

OF_ONE_USER_MAX = 50
"""Sessions that a user has at once; a further one ends the oldest. untuned: more browsers than a person has."""

SEEN_EVERY_MS = 60_000
"""How often a session's last request is written at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSession:
    """One session without its secret, so that it can be logged and shown.

    Attributes:
        token_id: What finds it, from its cookie.
        role: Of its user.
        expires_at_ms: When it ends without a further request.
        ends_at_ms: When it ends in any case.
        address: From where it was begun.
    """

    id: str
    token_id: str
    user_id: str
    user_name: str
    role: Role
    created_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    ends_at_ms: int
    address: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just begun. ``cookie`` is shown once; the database does not have it."""

    session: ApiSession
    cookie: str = field(repr=False)


class ApiSessions:
    """The repository of sessions."""

    def __init__(self, database: Database, digests: Digests) -> None:
        self._database = database
        self._digests = digests

    async def add(
        self, user_id: str, *, address: str, now_ms: int, password_digest: str | None = None
    ) -> NewSession | None:
        """Begin a session with an id of its own; None: its user was removed or disabled.

        ``password_digest`` is the one with which the password was compared: None, too, if it is another one now.
        """
        credential, session_id = Credential.new(Kind.SESSION), new_id()
        row = {
            "id": session_id,
            "token_id": credential.id,
            "user_id": user_id,
            "is_active": True,
            "created_at_ms": now_ms,
            "seen_at_ms": now_ms,
            "expires_at": now_ms + IDLE_MS,
            "ends_at_ms": now_ms + ABSOLUTE_MS,
            "address": address,
        }

        def write(connection: Connection) -> bool:
            follow(connection, self._digests)
            return _begin(connection, row | self._digests.stored(credential), password_digest)

        if not await self._database.write_alone(write):
            return None
        async with self._database.reading() as connection:
            made = (await connection.execute(_sessions().where(api_sessions.c.id == session_id))).first()
        return None if made is None else NewSession(_session(made), credential.text)

    async def of_cookie(self, cookie: str, *, now_ms: int) -> ApiSession | None:
        """Return whose session this is; None: it is not valid, has expired or ended, or its user is disabled.

        After a change of ``SECRET_KEY`` its digest is made anew with the next use.

        Cost: one query by ``ix_sessions_token_active_expires``.
        """
        credential = Credential.read(cookie, Kind.SESSION)
        if credential is None:
            return None
        async with self._database.reading() as connection:
            row = (await connection.execute(_valid(credential.id, now_ms))).first()
        if row is None or (key := self._digests.key_of(row.digest, credential)) is None:
            return None
        if self._digests.is_outdated(row, key):
            is_meant = api_sessions.c.id == row.id
            await self._database.write_alone(
                lambda connection: renew(connection, update(api_sessions).where(is_meant), self._digests, credential)
            )
        return _session(row)

    async def note_use(self, session_id: str, *, now_ms: int) -> None:
        """Have a session live longer, up to its absolute end; written at most once a minute."""
        idle, ends = now_ms + IDLE_MS, api_sessions.c.ends_at_ms
        is_due = and_(api_sessions.c.is_active, api_sessions.c.seen_at_ms <= now_ms - SEEN_EVERY_MS)
        expires = case((ends < idle, ends), else_=idle)
        write = update(api_sessions).where(api_sessions.c.id == session_id, is_due)
        changed = write.values(seen_at_ms=now_ms, expires_at=expires)
        await self._database.write_alone(lambda connection: connection.execute(changed))

    async def of_user(self, user_id: str, *, now_ms: int) -> list[ApiSession]:
        """Return the sessions of a user that have not ended, the oldest first."""
        is_open = api_sessions.c.user_id == user_id, api_sessions.c.is_active, api_sessions.c.expires_at > now_ms
        query = _sessions().where(*is_open).order_by(api_sessions.c.created_at_ms, api_sessions.c.id)
        async with self._database.reading() as connection:
            return [_session(row) for row in await connection.execute(query)]

    async def end(self, session_id: str, *, user_id: str) -> bool:
        """End a session of a user; False: it has none such."""
        is_meant = api_sessions.c.id == session_id, api_sessions.c.user_id == user_id, api_sessions.c.is_active
        ended = update(api_sessions).where(*is_meant).values(is_active=False)
        return await self._database.write_alone(lambda connection: connection.execute(ended).rowcount == 1)

    async def end_all(self, user_id: str) -> int:
        """End all sessions of a user, and return how many."""
        gone = delete(api_sessions).where(api_sessions.c.user_id == user_id)
        return await self._database.write_alone(lambda connection: connection.execute(gone).rowcount)


def _begin(connection: Connection, row: dict[str, Any], password_digest: str | None) -> bool:
    """Store a session unless its user has changed; the lock of the user keeps it from changing meanwhile."""
    is_let_in = [users.c.id == row["user_id"], users.c.is_active]
    if password_digest is not None:
        is_let_in.append(users.c.password_digest == password_digest)
    if connection.execute(select(users.c.id).where(*is_let_in).with_for_update()).first() is None:
        return False
    of_user = select(api_sessions.c.id).where(api_sessions.c.user_id == row["user_id"])
    newest_first = of_user.order_by(api_sessions.c.created_at_ms.desc(), api_sessions.c.id)
    too_many = connection.execute(newest_first.offset(OF_ONE_USER_MAX - 1)).scalars().all()
    connection.execute(delete(api_sessions).where(api_sessions.c.id.in_(too_many)))
    connection.execute(insert(api_sessions).values(row))
    return True


def _sessions() -> Select[Any]:
    columns = users.c.name.label("user_name"), users.c.role.label("user_role")
    return select(api_sessions, *columns).join(users, users.c.id == api_sessions.c.user_id)


def _valid(token_id: str, now_ms: int) -> Select[Any]:
    return (
        _sessions()
        .add_columns(PRESENT_KEY.label("present_key"))
        .where(
            api_sessions.c.token_id == token_id,
            api_sessions.c.is_active,
            api_sessions.c.expires_at > now_ms,
            users.c.is_active,
        )
    )


def _session(row: Row[Any]) -> ApiSession:
    return ApiSession(
        id=row.id,
        token_id=row.token_id,
        user_id=row.user_id,
        user_name=row.user_name,
        role=role_of(row.user_role),
        created_at_ms=row.created_at_ms,
        seen_at_ms=row.seen_at_ms,
        expires_at_ms=row.expires_at,
        ends_at_ms=row.ends_at_ms,
        address=row.address,
    )
