"""Under which ``SECRET_KEY`` the digests of API tokens, log-in links and sessions are.

A digest is made anew only when its text is used. So after a change those that were not used are good only for as long
as the processes have the former key.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_sessions, api_tokens, login_links
from tempogram.storage.identity.secrets import Digests


@dataclass(slots=True)
class DigestCount:
    """How many of one kind that are valid are under which key.

    Attributes:
        former: They end with the former key, unless they are used before.
        unknown: They were made by a version that did not note the key, and not used since.
        other: They are refused already.
    """

    present: int = 0
    former: int = 0
    unknown: int = 0
    other: int = 0

    @property
    def would_stop(self) -> int:
        """Count what may stop working without the former key."""
        return self.former + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestsUnderKeys:
    """The same of every kind."""

    api_tokens: DigestCount
    login_links: DigestCount
    sessions: DigestCount


async def digests_under_keys(database: Database, digests: Digests, *, now_ms: int) -> DigestsUnderKeys:
    """Count what is valid now.

    Cost: one scan of each table.
    """
    expires = api_tokens.c.expires_at_ms
    is_valid_token = and_(api_tokens.c.revoked_at_ms.is_(None), or_(expires.is_(None), expires > now_ms))
    is_open = and_(api_sessions.c.is_active, api_sessions.c.expires_at > now_ms)
    return DigestsUnderKeys(
        api_tokens=await _counted(database, digests, api_tokens, is_valid_token),
        login_links=await _counted(database, digests, login_links, login_links.c.expires_at_ms > now_ms),
        sessions=await _counted(database, digests, api_sessions, is_open),
    )


async def _counted(database: Database, digests: Digests, table: Table, is_valid: ColumnElement[bool]) -> DigestCount:
    query = select(table.c.key_fingerprint, func.count()).where(is_valid).group_by(table.c.key_fingerprint)
    counted = DigestCount()
    async with database.reading() as connection:
        for key, count in await connection.execute(query):
            if key is None:
                counted.unknown += count
            elif key == digests.fingerprints[0]:
                counted.present += count
            elif key in digests.fingerprints:
                counted.former += count
            else:
                counted.other += count
    return counted
