"""The encrypted tokens, for an operator: which can be read, one entered anew, all encrypted with another key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import PausedBy
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.present_key import (
    SEALED,
    change_under_way,
    end_change,
    follow,
    locked_change,
    mark_change,
    renew_erasure_key,
)
from tempogram.storage.processes.identity import CHANGE_UNDER_WAY, adopt_in, is_key, ledger_id
from tempogram.storage.processes.membership import SqlMembership


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedToken:
    """Whether the token of a bot can be decrypted with the present key."""

    bot_id: int
    username: str
    is_readable: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """The bots whose secrets are encrypted with the new key now, and those whose token neither key decrypts."""

    renewed: list[int]
    left: list[int]


class SealedTokens:
    """The tokens of one database under one key. Beside processes that run with another key it changes nothing."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._bots = Bots(database, seal)

    async def all(self) -> list[SealedToken]:
        """Return every bot, in the order of their ids."""
        tokens = await self._bots.tokens()
        return [
            SealedToken(bot_id=each.bot_id, username=each.username, is_readable=tokens.get(each.bot_id) is not None)
            for each in await self._bots.all()
        ]

    async def enter(self, bot_id: int, token: str) -> bool:
        """Encrypt the token of a bot anew, so that it sends again; False if there is no such bot.

        Raises:
            SettingsError: Other processes run with another key.
        """
        if not await self._bots.among([bot_id]):
            return False
        await self._take_key()
        await self._database.write_alone(lambda connection: _enter(connection, bot_id, token, self._seal))
        await SqlLedger(self._database).pause(bot_id, paused=False, by=PausedBy.TOKEN)
        return True

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """See ``Bots.remove``; the messages are cancelled by the process that runs next."""
        is_removed = await self._bots.remove(bot_id, keep_messages=keep_messages)
        await self._database.write_alone(lambda connection: end_change(connection, self._seal))
        return is_removed

    async def rotate(self, former: Seal | None) -> Rotation:
        """Encrypt everything with the present key, and end a change that was under way, in one transaction.

        Args:
            former: None: of the two keys of a change that was under way the other one is lost, and given up.

        Raises:
            SettingsError: Neither key decrypts any token, or other processes run; nothing was changed.
        """
        await ledger_id(self._database)
        if await SqlMembership(self._database).alive():
            raise SettingsError(
                "processes of this database run with the former SECRET_KEY; stop all of them first (tempogram keys "
                "rotate --running changes the key while they run)"
            )
        rotation = await self._database.write_alone(lambda connection: _rotate_all(connection, former, self._seal))
        # Some were paused as unreadable. One that Telegram refused is paused again by its first call.
        for bot_id in rotation.renewed:
            await SqlLedger(self._database).pause(bot_id, paused=False, by=PausedBy.TOKEN)
        return rotation

    async def _take_key(self) -> None:
        """Have the key of a start be that of the database.

        Raises:
            SettingsError: Other processes run with another one, or it is being changed to another one.
        """
        change = await change_under_way(self._database)
        if change is not None and change.present not in self._seal.fingerprints:
            if change.former in self._seal.fingerprints:
                raise SettingsError(CHANGE_UNDER_WAY)
        elif await is_key(self._database, self._seal):
            return
        if await SqlMembership(self._database).alive():
            raise SettingsError(
                "SECRET_KEY is not the one of the processes that run with this database, so they could not read the "
                "token; set theirs, or stop all of them first"
            )
        await self._database.write_alone(lambda connection: _adopt(connection, self._seal))


def _adopt(connection: Connection, seal: Seal) -> None:
    change = locked_change(connection)
    if change is not None and change.present not in seal.fingerprints:
        mark_change(connection, None)  # both keys of it are lost
    adopt_in(connection, seal)


def _enter(connection: Connection, bot_id: int, token: str, seal: Seal) -> None:
    locked_change(connection)  # before the key is read: two that read it would wait for each other below
    follow(connection, seal.digests)
    row = connection.execute(select(bots).where(bots.c.bot_id == bot_id)).one()
    values: dict[str, Any] = {"sealed_token": seal.seal(token, bot_id=bot_id)}
    if not all(_is_open(each, bot_id, seal) for each in (row.sealed_webhook_secret, row.sealed_next_webhook_secret)):
        values |= {"sealed_webhook_secret": None, "sealed_next_webhook_secret": None, "webhook_told": None}
    connection.execute(update(bots).where(bots.c.bot_id == bot_id).values(values))
    end_change(connection, seal)


def _is_open(sealed: bytes | None, bot_id: int, seal: Seal) -> bool:
    return sealed is None or seal.open(sealed, bot_id=bot_id) is not None


def _rotate_all(connection: Connection, former: Seal | None, seal: Seal) -> Rotation:
    change = locked_change(connection)
    if former is None and change is None:
        raise SettingsError("no change of SECRET_KEY is under way, so none of its keys can be lost")
    adopt_in(connection, seal)  # what is encrypted from now on is under it
    readers = (seal,) if former is None else (seal, former)
    renew_erasure_key(connection, *readers)
    rotation = _rotate(connection, readers, seal)
    is_one_of_two = former is None and change is not None and seal.fingerprints[0] in {change.former, change.present}
    if rotation.left and not rotation.renewed and not is_one_of_two:
        entered = "neither the former key that was entered nor SECRET_KEY decrypts any token"
        raise SettingsError("SECRET_KEY decrypts no token" if former is None else entered)
    mark_change(connection, None)
    return rotation


def _rotate(connection: Connection, readers: Sequence[Seal], seal: Seal) -> Rotation:
    rows = connection.execute(select(bots).where(bots.c.sealed_token.is_not(None)).order_by(bots.c.bot_id)).all()
    renewed = {row.bot_id: _renewed(row, readers, seal) for row in rows}
    left = [bot_id for bot_id, values in renewed.items() if values["sealed_token"] is None]
    for bot_id, values in renewed.items():
        if bot_id not in left:
            connection.execute(update(bots).where(bots.c.bot_id == bot_id).values(values))
    return Rotation([bot_id for bot_id in renewed if bot_id not in left], left)


def _renewed(row: Row[Any], readers: Sequence[Seal], seal: Seal) -> dict[str, Any]:
    """Encrypt what a bot has with the new key; None for what no key decrypts."""
    values: dict[str, Any] = dict.fromkeys(SEALED)
    for name in SEALED:
        opened = (reader.open(getattr(row, name), bot_id=row.bot_id) for reader in readers)
        if (text := next((each for each in opened if each is not None), None)) is not None:
            values[name] = seal.seal(text, bot_id=row.bot_id)
    if any(values[name] is None and getattr(row, name) is not None for name in SEALED):
        values["webhook_told"] = None  # it is set again, with another secret
    return values
