"""The limits in force: the environment's, and the changes made at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select, true, update

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import limits

Changes = dict[str, Any]
"""Changed fields of ``Limits``: a number, or the changed fields of a ``Limit``."""


class StoredLimits:
    """The repository of limits. Each change raises the version, so that every broker knows which is newer.

    Args:
        given: The environment's; changes take precedence over them, after a restart, too.
    """

    def __init__(self, database: Database, given: Limits) -> None:
        self._database = database
        self._given = given

    async def current(self) -> Limits:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(limits))).first()
        return self._given if row is None else changed(self._given, row.changes, row.version)

    async def change(self, changes: Mapping[str, Any]) -> Limits:
        """Apply changes, and return all limits.

        Raises:
            SettingsError: The changed limits contradict the others; nothing was stored.
        """
        return await self._write(lambda before: merged(before, changes))

    async def reset(self) -> Limits:
        """Reset to the environment's limits."""
        return await self._write(lambda _: {})

    async def _write(self, change: Callable[[Changes], Changes]) -> Limits:
        def write(connection: Connection) -> Limits:
            # Insert the row before locking it: of two concurrent changes the second sees the first.
            first = insert_by(limits, connection).values(one=True, version=self._given.version, changes={})
            connection.execute(first.on_conflict_do_nothing())
            row = connection.execute(select(limits).with_for_update()).one()
            changes, version = change(row.changes), row.version + 1
            result = changed(self._given, changes, version)
            connection.execute(update(limits).where(limits.c.one == true()).values(version=version, changes=changes))
            return result

        return await self._database.write_alone(write)


def merged(before: Changes, changes: Mapping[str, Any]) -> Changes:
    """Return both; later changes override earlier ones.

    >>> merged({"bot": {"count": 20}, "chat_cap": 5}, {"bot": {"window_ms": 500}, "chat_cap": 6})
    {'bot': {'count': 20, 'window_ms': 500}, 'chat_cap': 6}
    """
    both = dict(before)
    for name, value in changes.items():
        both[name] = {**before.get(name, {}), **value} if isinstance(value, Mapping) else value
    return both


def changed(given: Limits, changes: Mapping[str, Any], version: int) -> Limits:
    """Return the limits with changes applied.

    >>> changed(Limits(), {"bot": {"count": 20}, "chat_cap": 5}, version=2).bot
    Limit(count=20, window_ms=1000, burst=None, leaks=False)
    """
    new: dict[str, Any] = {}
    for name, value in changes.items():
        old = getattr(given, name)
        new[name] = replace(old, **value) if isinstance(old, Limit) else value
    return replace(given, version=version, **new)
