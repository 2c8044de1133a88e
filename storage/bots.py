"""The bots: their tokens, sealed, and what each of them does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, select, update

from engine.messages import PausedBy
from storage.database import Database
from storage.keys import Seal
from storage.models import bots
from storage.upsert import insert_by


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredBot:
    """One bot, without its secrets: nothing that is logged or shown can give them away.

    ``behaviours`` has the settings of each behaviour under its name. ``paused_by`` says why it sends nothing.
    """

    bot_id: int
    username: str
    first_name: str
    behaviours: Mapping[str, Any]
    paused: bool
    weight: int
    added_at_ms: int
    paused_by: PausedBy | None = None


class Bots:
    """The repository. Pausing is the ledger's; see ``SqlLedger.pause``."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def add(
        self, bot_id: int, token: str, *, username: str, first_name: str, behaviours: Mapping[str, Any], now_ms: int
    ) -> None:
        """Add a bot. One that is there gets the new token and names (an empty one is none), and keeps the rest."""
        row = {
            "bot_id": bot_id,
            "sealed_token": self._seal.seal(token, bot_id=bot_id),
            "username": username,
            "first_name": first_name,
            "behaviours": dict(behaviours),
            "added_at_ms": now_ms,
        }
        await self._database.write_alone(lambda connection: _add(connection, row))

    async def remove(self, bot_id: int) -> bool:
        """Forget a bot and its token; False if there was none. Its messages stay."""
        return await self._database.write_alone(
            lambda connection: connection.execute(delete(bots).where(bots.c.bot_id == bot_id)).rowcount == 1
        )

    async def get(self, bot_id: int) -> RegisteredBot | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(bots).where(IS_ADDED, bots.c.bot_id == bot_id))).first()
            return None if row is None else _registered(row)

    async def all(self) -> list[RegisteredBot]:
        """Return every bot, in the order of their ids."""
        async with self._database.reading() as connection:
            return [_registered(row) for row in await connection.execute(_ALL)]

    async def tokens(self) -> dict[int, str]:
        """Return every bot's token.

        Raises:
            SettingsError: They were stored under another ``SECRET_KEY``.
        """
        async with self._database.reading() as connection:
            rows = (await connection.execute(_ALL)).all()
        return {row.bot_id: self._seal.open(row.sealed_token, bot_id=row.bot_id) for row in rows}

    async def webhook_secrets(self) -> dict[int, str]:
        """Return the secret of every bot that has one; raises as ``tokens`` does."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_ALL.where(bots.c.sealed_webhook_secret.is_not(None)))).all()
        return {row.bot_id: self._seal.open(row.sealed_webhook_secret, bot_id=row.bot_id) for row in rows}

    async def set_webhook_secret(self, bot_id: int, secret: str | None) -> bool:
        """Store what Telegram shall send with every update; None forgets it. False if there is no such bot."""
        sealed = None if secret is None else self._seal.seal(secret, bot_id=bot_id)
        return await self._change(bot_id, sealed_webhook_secret=sealed)

    async def set_behaviours(self, bot_id: int, behaviours: Mapping[str, Any]) -> bool:
        """Let a bot have these behaviours from now on; False if there is no such bot."""
        return await self._change(bot_id, behaviours=dict(behaviours))

    async def set_weight(self, bot_id: int, weight: int) -> bool:
        """Write how many turns it has for one of a bot that weighs 1; False if there is no such bot."""
        return await self._change(bot_id, weight=weight)

    async def _change(self, bot_id: int, **values: object) -> bool:
        change = update(bots).where(IS_ADDED, bots.c.bot_id == bot_id).values(**values)
        return await self._database.write_alone(lambda connection: connection.execute(change).rowcount == 1)


IS_ADDED = bots.c.sealed_token.is_not(None)
"""Unlike a bot that was only paused, before anybody added it."""

_ALL = select(bots).where(IS_ADDED).order_by(bots.c.bot_id)


def _add(connection: Connection, row: dict[str, Any]) -> None:
    write = insert_by(bots, connection)
    new = write.excluded
    names = {name: func.coalesce(func.nullif(new[name], ""), bots.c[name]) for name in ("username", "first_name")}
    renewed = {"sealed_token": new.sealed_token} | names
    first_time = {name: case((IS_ADDED, bots.c[name]), else_=new[name]) for name in ("behaviours", "added_at_ms")}
    connection.execute(
        write.values(row).on_conflict_do_update(index_elements=[bots.c.bot_id], set_=renewed | first_time)
    )


def _registered(row: Row[Any]) -> RegisteredBot:
    return RegisteredBot(
        bot_id=row.bot_id,
        username=row.username,
        first_name=row.first_name,
        behaviours=row.behaviours,
        paused=row.paused,
        weight=row.weight,
        added_at_ms=row.added_at_ms,
        paused_by=PausedBy(row.paused_by or PausedBy.OPERATOR) if row.paused else None,
    )
