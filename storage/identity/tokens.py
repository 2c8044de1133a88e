"""API tokens: what programs are let in by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_tokens, users
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.identity.users import role_of
from tempogram.storage.present_key import PRESENT_KEY, follow, renew

USED_EVERY_MS = 60_000
"""How often the last use of a token is written at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One token without its secret, so that it can be logged and shown.

    Attributes:
        name: What it is for.
        user_id: Whose it is; None: it was made with a token of the settings, and belongs to no user.
        user_name: The name of that user.
        role: The lower one of its own and its user's.
        bots: The only ones that it may see and act on; None: all.
        expires_at_ms: None: never.
    """

    id: str
    name: str
    role: Role
    user_id: str | None
    user_name: str | None
    bots: frozenset[int] | None
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None
    revoked_at_ms: int | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. Its text is shown once; the database does not have it."""

    token: ApiToken
    text: str = field(repr=False)


class ApiTokens:
    """The repository of API tokens."""

    def __init__(self, database: Database, digests: Digests) -> None:
        self._database = database
        self._digests = digests

    async def add(
        self,
        name: str,
        role: Role,
        *,
        user_id: str | None = None,
        bots: Collection[int] | None = None,
        expires_at_ms: int | None = None,
        now_ms: int,
    ) -> NewToken:
        credential = Credential.new(Kind.TOKEN)
        row = {
            "id": credential.id,
            "name": name,
            "role": role.name.lower(),
            "user_id": user_id,
            "bots": None if bots is None else sorted(bots),
            "created_at_ms": now_ms,
            "expires_at_ms": expires_at_ms,
        }

        def write(connection: Connection) -> None:
            follow(connection, self._digests)
            connection.execute(insert(api_tokens).values(row | self._digests.stored(credential)))

        await self._database.write_alone(write)
        made = await self.get(credential.id)
        assert made is not None, "it was just written"  # noqa: S101
        return NewToken(made, credential.text)

    async def get(self, token_id: str) -> ApiToken | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(_tokens().where(api_tokens.c.id == token_id))).first()
        return None if row is None else _token(row)

    async def all(self, *, user_id: str | None = None) -> list[ApiToken]:
        """Return every token, or those of a user, the oldest first."""
        query = _tokens().order_by(api_tokens.c.created_at_ms, api_tokens.c.id)
        if user_id is not None:
            query = query.where(api_tokens.c.user_id == user_id)
        async with self._database.reading() as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def of_text(self, text: str, *, now_ms: int) -> ApiToken | None:
        """Return whose token this is; None: it is not valid, has expired or was revoked, or its user is disabled.

        After a change of ``SECRET_KEY`` its digest is made anew with the first use.

        Cost: one query by the primary key; none for a text of another form, or with a wrong checksum.
        """
        credential = Credential.read(text, Kind.TOKEN)
        if credential is None:
            return None
        async with self._database.reading() as connection:
            row = (await connection.execute(_valid(credential.id, now_ms))).first()
        if row is None or (key := self._digests.key_of(row.digest, credential)) is None:
            return None
        if self._digests.is_outdated(row, key):
            is_meant = api_tokens.c.id == row.id
            await self._database.write_alone(
                lambda connection: renew(connection, update(api_tokens).where(is_meant), self._digests, credential)
            )
        return _token(row)

    async def note_use(self, token_id: str, *, now_ms: int) -> None:
        """Store when a token was used, at most once a minute over all processes."""
        last = api_tokens.c.last_used_at_ms
        is_due = or_(last.is_(None), last <= now_ms - USED_EVERY_MS)
        write = update(api_tokens).where(api_tokens.c.id == token_id, is_due).values(last_used_at_ms=now_ms)
        await self._database.write_alone(lambda connection: connection.execute(write))

    async def revoke(self, token_id: str, *, now_ms: int) -> bool:
        """End a token for good; False: there is no such token, or it was revoked before."""
        is_meant = api_tokens.c.id == token_id, api_tokens.c.revoked_at_ms.is_(None)
        write = update(api_tokens).where(*is_meant).values(revoked_at_ms=now_ms)
        return await self._database.write_alone(lambda connection: connection.execute(write).rowcount == 1)


def _tokens() -> Select[Any]:
    of_user = users.c.id == api_tokens.c.user_id
    columns = users.c.name.label("user_name"), users.c.role.label("user_role"), users.c.is_active.label("user_active")
    return select(api_tokens, *columns).select_from(api_tokens.outerjoin(users, of_user))


def _valid(token_id: str, now_ms: int) -> Select[Any]:
    expires = api_tokens.c.expires_at_ms
    return (
        _tokens()
        .add_columns(PRESENT_KEY.label("present_key"))
        .where(
            api_tokens.c.id == token_id,
            api_tokens.c.revoked_at_ms.is_(None),
            or_(expires.is_(None), expires > now_ms),
            or_(api_tokens.c.user_id.is_(None), users.c.is_active),
        )
    )


def _token(row: Row[Any]) -> ApiToken:
    own = role_of(row.role)
    return ApiToken(
        id=row.id,
        name=row.name,
        role=own if row.user_role is None else min(own, role_of(row.user_role)),
        user_id=row.user_id,
        user_name=row.user_name,
        bots=None if row.bots is None else frozenset(row.bots),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )
