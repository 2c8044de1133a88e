"""Log-in links: what a user is let in by once, to choose a password."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import login_links, users
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.present_key import follow

LINK_MS = 24 * 3_600_000
"""How long a link is valid. untuned: it reaches a person by chat or mail within a day."""


class LoginLinks:
    """The repository of log-in links."""

    def __init__(self, database: Database, digests: Digests) -> None:
        self._database = database
        self._digests = digests

    async def add(self, user_id: str, *, now_ms: int, valid_ms: int = LINK_MS) -> str:
        """Return the text of a new link, which is shown once; earlier links of the user end."""
        credential = Credential.new(Kind.LINK)
        row = {
            "id": credential.id,
            "user_id": user_id,
            "expires_at_ms": now_ms + valid_ms,
        }

        def add(connection: Connection) -> None:
            connection.execute(delete(login_links).where(login_links.c.user_id == user_id))
            follow(connection, self._digests)
            connection.execute(insert(login_links).values(row | self._digests.stored(credential)))

        await self._database.write_alone(add)
        return credential.text

    async def use(self, text: str, *, now_ms: int) -> str | None:
        """Use a link up, and return whose it was; None: it is not valid (any more).

        Of two that use it at once, one gets the user. A wrong one costs a query and no write.
        """
        credential = Credential.read(text, Kind.LINK)
        if credential is None or not await self._is_valid(credential, now_ms):
            return None
        used = delete(login_links).where(login_links.c.id == credential.id).returning(login_links.c.user_id)
        return await self._database.write_alone(lambda connection: connection.execute(used).scalar())

    async def _is_valid(self, credential: Credential, now_ms: int) -> bool:
        query = (
            select(login_links.c.digest)
            .join(users, users.c.id == login_links.c.user_id)
            .where(login_links.c.id == credential.id, login_links.c.expires_at_ms > now_ms, users.c.is_active)
        )
        async with self._database.reading() as connection:
            digest = (await connection.execute(query)).scalar()
        return digest is not None and self._digests.is_of(digest, credential)
