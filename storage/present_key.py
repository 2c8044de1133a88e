"""Which ``SECRET_KEY`` the database has, and the mark that says it is being changed.

Keys are named by their fingerprints. What is read here for a write stays as it is until its transaction ends, so that
nothing is written with the former key after a change has begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Update, or_, select, update

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots, identity
from tempogram.storage.identity.secrets import Credential, Digests
from tempogram.storage.keys import Seal

ROW = 1

ERASURES = -1
"""For what the key of erased chats is encrypted, in place of a bot."""

SEALED = ("sealed_token", "sealed_webhook_secret", "sealed_next_webhook_secret")

HAS_SECRETS = or_(*(bots.c[name].is_not(None) for name in SEALED))

PRESENT_KEY = select(identity.c.key_fingerprint).where(identity.c.id == ROW).scalar_subquery()


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A change of the key that has begun and has not ended: rows are under either key."""

    former: int
    present: int

    def has_both(self, seal: Seal) -> bool:
        """Tell whether these keys read every row."""
        return {self.former, self.present} <= set(seal.fingerprints)


async def change_under_way(database: Database) -> KeyChange | None:
    async with database.reading() as connection:
        return _change((await connection.execute(_IDENTITY)).first())


def locked_change(connection: Connection) -> KeyChange | None:
    """Return the change under way; no other process begins or ends one before this transaction ends."""
    return _change(connection.execute(_IDENTITY.with_for_update()).first())


def mark_change(connection: Connection, change: KeyChange | None) -> None:
    """Store that a change is under way; None: that none is."""
    former, present = (None, None) if change is None else (change.former, change.present)
    connection.execute(update(identity).where(identity.c.id == ROW).values(changing_from=former, changing_to=present))


def follow(connection: Connection, digests: Digests) -> None:
    """Encrypt and digest with the key of the database in this transaction; one key alone is that."""
    if len(digests.fingerprints) > 1:
        digests.write_as(connection.execute(_PRESENT.with_for_update(read=True)).scalar())


def renew(connection: Connection, row: Update, digests: Digests, credential: Credential) -> None:
    """Digest a text anew with the key of the database, in this row."""
    follow(connection, digests)
    connection.execute(row.values(digests.stored(credential)))


def end_change(connection: Connection, seal: Seal) -> bool:
    """Remove the mark if no row is left under the former key; False: some is, or may be.

    Without the former key a row under neither key is taken for one under it.
    """
    change = locked_change(connection)
    if change is None:
        return True
    if change.present not in seal.fingerprints:
        return False
    done = {change.present} | ({None} if change.has_both(seal) else set())
    if renew_erasure_key(connection, seal) not in done:
        return False
    rows = connection.execute(select(bots).where(HAS_SECRETS))
    if any(key not in done for row in rows for key in keys_of(row, seal)):
        return False
    mark_change(connection, None)
    return True


def renew_erasure_key(connection: Connection, seal: Seal, *former: Seal) -> int | None:
    """Encrypt the key of erased chats with the present key, and return under which it is; None: none that is here.

    Where there is no such key, that counts as under the present one.
    """
    query = select(identity.c.sealed_erasure_key).where(identity.c.id == ROW)
    sealed = connection.execute(query.with_for_update()).scalar()
    if sealed is None or seal.is_under_secret_key(sealed, bot_id=ERASURES):
        return seal.fingerprints[0]
    text = next((opened for each in (seal, *former) if (opened := each.open(sealed, bot_id=ERASURES))), None)
    if text is None:
        return None
    renewed = seal.seal(text, bot_id=ERASURES)
    connection.execute(update(identity).where(identity.c.id == ROW).values(sealed_erasure_key=renewed))
    return seal.key_of(renewed, bot_id=ERASURES)


def keys_of(row: Row[Any], seal: Seal) -> set[int | None]:
    """Return under which keys the secrets of a bot are; None among them: one is under none of these."""
    sealed = [each for name in SEALED if (each := getattr(row, name)) is not None]
    return {seal.key_of(each, bot_id=row.bot_id) for each in sealed}


_IDENTITY = select(identity).where(identity.c.id == ROW)

_PRESENT = select(identity.c.key_fingerprint).where(identity.c.id == ROW)


def _change(row: Row[Any] | None) -> KeyChange | None:
    if row is None or row.changing_from is None or row.changing_to is None:
        return None
    return KeyChange(former=row.changing_from, present=row.changing_to)
