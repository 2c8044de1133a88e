"""The users: people with a name and a role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from tempogram.engine.model.errors import EngineError
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import api_sessions, api_tokens, login_links, users
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import new_id

COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.role,
    users.c.is_active,
    users.c.password_digest.is_not(None).label("has_password"),
    users.c.created_at_ms,
)
"""Without what is stored of the password."""


class NameTaken(EngineError):
    """Another user has this name; nothing was stored."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a user {name!r} already")
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user without secrets, so that it can be logged and shown.

    Attributes:
        is_active: False: nothing lets it in.
    """

    id: str
    name: str
    role: Role
    is_active: bool
    has_password: bool
    created_at_ms: int


class Users:
    """The repository of users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str, role: Role, *, password_digest: str | None = None, now_ms: int) -> User:
        """Add a user.

        Raises:
            NameTaken: Another one has the name, in whatever case.
        """
        row = {
            "id": new_id(),
            "name": name,
            "folded_name": name.casefold(),
            "role": role.name.lower(),
            "password_digest": password_digest,
            "is_active": True,
            "created_at_ms": now_ms,
        }

        def add(connection: Connection) -> bool:
            write = insert_by(users, connection).values(row).on_conflict_do_nothing(index_elements=["folded_name"])
            return connection.execute(write).rowcount == 1

        if not await self._database.write_alone(add):
            raise NameTaken(name)
        return User(
            id=str(row["id"]),
            name=name,
            role=role,
            is_active=True,
            has_password=password_digest is not None,
            created_at_ms=now_ms,
        )

    async def get(self, user_id: str) -> User | None:
        return await self._one(users.c.id == user_id)

    async def named(self, name: str) -> User | None:
        return await self._one(users.c.folded_name == name.casefold())

    async def all(self) -> list[User]:
        """Return every user, by name."""
        async with self._database.reading() as connection:
            return [_user(row) for row in await connection.execute(select(*COLUMNS).order_by(users.c.folded_name))]

    async def password_digest(self, user_id: str) -> str | None:
        """Return what is stored of a user's password; None: there is none, or no such user."""
        query = select(users.c.password_digest).where(users.c.id == user_id)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar()

    async def change(self, user_id: str, *, role: Role | None = None, is_active: bool | None = None) -> User | None:
        """Change what is given; None: there is no such user. What lets in a user that is disabled ends with it."""
        values: dict[str, object] = {} if role is None else {"role": role.name.lower()}
        if is_active is not None:
            values["is_active"] = is_active

        def change(connection: Connection) -> None:
            if values:
                connection.execute(update(users).where(users.c.id == user_id).values(values))
            if is_active is False:
                _end_log_ins(connection, user_id)

        await self._database.write_alone(change)
        return await self.get(user_id)

    async def set_password(self, user_id: str, password_digest: str) -> bool:
        """Store a password, and end all sessions and links; False: there is no such user."""
        write = update(users).where(users.c.id == user_id).values(password_digest=password_digest)

        def change(connection: Connection) -> bool:
            is_there = connection.execute(write).rowcount == 1  # first: a session that begins waits for it
            _end_log_ins(connection, user_id)
            return is_there

        return await self._database.write_alone(change)

    async def remove(self, user_id: str) -> bool:
        """Delete a user with all that lets it in; False: there is no such user."""

        def remove(connection: Connection) -> bool:
            was_there = connection.execute(delete(users).where(users.c.id == user_id)).rowcount == 1
            _end_log_ins(connection, user_id)
            connection.execute(delete(api_tokens).where(api_tokens.c.user_id == user_id))
            return was_there

        return await self._database.write_alone(remove)

    async def _one(self, is_meant: ColumnElement[bool]) -> User | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(*COLUMNS).where(is_meant))).first()
        return None if row is None else _user(row)


def role_of(name: str) -> Role:
    """Return the role that a column names.

    >>> role_of("viewer") is Role.VIEWER
    True
    """
    return Role[name.upper()]


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=role_of(row.role),
        is_active=row.is_active,
        has_password=bool(row.has_password),
        created_at_ms=row.created_at_ms,
    )


def _end_log_ins(connection: Connection, user_id: str) -> None:
    connection.execute(delete(api_sessions).where(api_sessions.c.user_id == user_id))
    connection.execute(delete(login_links).where(login_links.c.user_id == user_id))
