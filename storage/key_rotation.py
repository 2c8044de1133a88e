"""``SECRET_KEY`` is changed while everything runs: every process has both keys, and each row gets the new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import adopt_key
from tempogram.storage.processes.membership import SqlMembership
from tempogram.storage.sealed_tokens import SEALED

CHUNK = 50
"""Bots in one transaction, as others that write wait for it. untuned: a chunk takes milliseconds."""


class RotationRefused(SettingsError):
    """The key cannot be changed as the processes are now. Nothing was changed."""


@dataclass(slots=True)
class UnderKeys:
    """Under which key the secrets of bots are: each bot counts once, under the worst.

    Attributes:
        present: All of its secrets are under ``SECRET_KEY``.
        former: One is under ``FORMER_SECRET_KEY``.
        unreadable: One can be decrypted with neither.
    """

    present: int = 0
    former: int = 0
    unreadable: int = 0


class KeyRotation:
    """Encrypts what is under the former key with the present one.

    A call that was killed is made again: what is under the present key stays.
    """

    def __init__(self, database: Database, seal: Seal, members: SqlMembership) -> None:
        self._database = database
        self._seal = seal
        self._members = members

    @property
    def has_two(self) -> bool:
        """Tell whether this process has a former key."""
        return self._seal.has_two

    async def count(self) -> UnderKeys:
        counted = UnderKeys()
        async with self._database.reading() as connection:
            for row in await connection.execute(select(*_COLUMNS).where(_HAS_SECRETS)):
                match _key_of(row, self._seal):
                    case None:
                        counted.unreadable += 1
                    case True:
                        counted.present += 1
                    case False:
                        counted.former += 1
        return counted

    async def rotate(self) -> UnderKeys:
        """Encrypt everything with ``SECRET_KEY``, in chunks, and return what is under which key then.

        Raises:
            RotationRefused: This process does not have both keys, or another one not the new key.
            LedgerError: The database cannot be reached; call it again to go on.
        """
        if not self._seal.has_two:
            raise RotationRefused("there is no FORMER_SECRET_KEY, so there is nothing to change; set the key before")
        if without := await self._members.without_key(self._seal.fingerprints[0]):
            raise RotationRefused(
                f"{len(without)} of the processes that run do not have the new SECRET_KEY; "
                "start each with both keys first, and call this again"
            )
        await adopt_key(self._database, self._seal)  # what is encrypted from now on is under it
        after = -(2**63)
        while (last := await self._database.write_alone(lambda connection: self._chunk(connection, after))) is not None:  # noqa: B023
            after = last
        return await self.count()

    def _chunk(self, connection: Connection, after: int) -> int | None:
        """Encrypt a chunk anew, and return the last bot of it; None: there was none."""
        query = select(*_COLUMNS).where(_HAS_SECRETS, bots.c.bot_id > after).order_by(bots.c.bot_id).limit(CHUNK)
        rows = connection.execute(query.with_for_update()).all()
        for row in rows:
            if values := self._renewed(row):
                connection.execute(update(bots).where(bots.c.bot_id == row.bot_id).values(values))
        return rows[-1].bot_id if rows else None

    def _renewed(self, row: Row[Any]) -> dict[str, bytes]:
        """Return what is under the former key, under the present one; what neither decrypts stays as it is."""
        values = {}
        for name in SEALED:
            sealed = getattr(row, name)
            if sealed is None or self._seal.is_under_secret_key(sealed, bot_id=row.bot_id):
                continue
            if (text := self._seal.open(sealed, bot_id=row.bot_id)) is not None:
                values[name] = self._seal.seal(text, bot_id=row.bot_id)
        return values


_COLUMNS = bots.c.bot_id, *(bots.c[name] for name in SEALED)
_HAS_SECRETS = or_(*(bots.c[name].is_not(None) for name in SEALED))


def _key_of(row: Row[Any], seal: Seal) -> bool | None:
    """Tell whether all secrets of a bot are under the present key; None: one is under none of the two."""
    sealed = [each for name in SEALED if (each := getattr(row, name)) is not None]
    if any(seal.open(each, bot_id=row.bot_id) is None for each in sealed):
        return None
    return all(seal.is_under_secret_key(each, bot_id=row.bot_id) for each in sealed)
