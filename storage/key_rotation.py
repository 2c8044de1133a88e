"""``SECRET_KEY`` is changed while everything runs: every process has both keys, and each row gets the new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots
from tempogram.storage.identity.under_keys import DigestsUnderKeys, digests_under_keys
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import (
    HAS_SECRETS,
    SEALED,
    KeyChange,
    change_under_way,
    end_change,
    follow,
    keys_of,
    locked_change,
    mark_change,
)
from tempogram.storage.processes.identity import adopt_in
from tempogram.storage.processes.membership import SqlMembership

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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """What is under which key, and whether a change of the key has begun and not ended."""

    bots: UnderKeys
    digests: DigestsUnderKeys
    is_changing: bool


class KeyRotation:
    """Encrypts what is under the former key with the present one.

    A call that was killed is made again: what is under the present key stays.
    """

    def __init__(self, database: Database, seal: Seal, members: SqlMembership, *, chunk_bots: int = CHUNK) -> None:
        self._database = database
        self._seal = seal
        self._members = members
        self._chunk_bots = chunk_bots

    @property
    def has_two(self) -> bool:
        """Tell whether this process has a former key."""
        return self._seal.has_two

    async def count(self) -> UnderKeys:
        counted = UnderKeys()
        async with self._database.reading() as connection:
            for row in await connection.execute(select(*_COLUMNS).where(HAS_SECRETS)):
                keys = keys_of(row, self._seal)
                if None in keys:
                    counted.unreadable += 1
                elif keys == {self._seal.fingerprints[0]}:
                    counted.present += 1
                else:
                    counted.former += 1
        return counted

    async def state(self, *, now_ms: int) -> KeyState:
        """Count what is under which key: bots, and what lets in."""
        return KeyState(
            bots=await self.count(),
            digests=await digests_under_keys(self._database, self._seal.digests, now_ms=now_ms),
            is_changing=await change_under_way(self._database) is not None,
        )

    async def rotate(self) -> UnderKeys:
        """Encrypt everything with ``SECRET_KEY``, in chunks, and return what is under which key then.

        From the first moment until nothing is left under the former key the database bears a mark, with which no
        process starts that does not have both keys.

        Raises:
            RotationRefused: This process does not have both keys, or another one not the new key.
            LedgerError: The database cannot be reached; call it again to go on.
        """
        if not self._seal.has_two:
            raise RotationRefused("there is no FORMER_SECRET_KEY, so there is nothing to change; set the key before")
        before = await self._database.write_alone(self._begin)
        # After the mark is set: a process that has not seen it has its lock, so it is seen here.
        if without := await self._members.without_key(self._seal.fingerprints[0]):
            await self._database.write_alone(lambda connection: self._take_back(connection, before))
            raise RotationRefused(
                f"{len(without)} of the processes that run do not have the new SECRET_KEY; "
                "start each with both keys first, and call this again"
            )
        await self._database.write_alone(self._adopt)
        after = -(2**63)
        while (last := await self._database.write_alone(lambda connection: self._chunk(connection, after))) is not None:  # noqa: B023
            after = last
        await self._database.write_alone(lambda connection: end_change(connection, self._seal))
        return await self.count()

    def _begin(self, connection: Connection) -> KeyChange | None:
        """Mark the change, and return the mark that was there."""
        before, change = locked_change(connection), self._change
        if before is not None and not before.has_both(self._seal):
            raise RotationRefused("another change of SECRET_KEY is under way, with other keys; finish that one first")
        mark_change(connection, change)
        return before

    def _take_back(self, connection: Connection, before: KeyChange | None) -> None:
        if locked_change(connection) == self._change:
            mark_change(connection, before)

    def _adopt(self, connection: Connection) -> None:
        """Make the new key the one of the database: what is encrypted from now on is under it."""
        if locked_change(connection) != self._change:
            raise RotationRefused("another call has ended this change, or turned it back; call this again")
        adopt_in(connection, self._seal)

    def _chunk(self, connection: Connection, after: int) -> int | None:
        """Encrypt a chunk anew, and return the last bot of it; None: there was none."""
        follow(connection, self._seal.digests)
        if self._seal.digests.fingerprint != self._seal.fingerprints[0]:
            raise RotationRefused("another call turns this change back")
        query = (
            select(*_COLUMNS).where(HAS_SECRETS, bots.c.bot_id > after).order_by(bots.c.bot_id).limit(self._chunk_bots)
        )
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

    @property
    def _change(self) -> KeyChange:
        present, former = self._seal.fingerprints
        return KeyChange(former=former, present=present)


_COLUMNS = bots.c.bot_id, *(bots.c[name] for name in SEALED)
