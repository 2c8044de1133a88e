"""What was changed of a service while it ran, for all processes and after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import services


class StoredServices:
    """The repository of changes to services, in the words of ``services.toml``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self) -> dict[str, tuple[int, Mapping[str, Any]]]:
        """Return the version and the changes of each service that was changed."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(services.c.name, services.c.version, services.c.changes))
            return {name: (version, changes) for name, version, changes in rows}

    async def change(self, name: str, changes: Mapping[str, Any]) -> int:
        """Store changes besides those of before, and return the new version."""

        def write(connection: Connection) -> int:
            # Insert the row before locking it: of two concurrent changes the second sees the first.
            first = insert_by(services, connection).values(name=name, version=1, changes={})
            connection.execute(first.on_conflict_do_nothing())
            of_name = services.c.name == name
            row = connection.execute(select(services).where(of_name).with_for_update()).one()
            values = {"version": row.version + 1, "changes": merged(row.changes, changes)}
            connection.execute(services.update().where(of_name).values(values))
            return int(row.version) + 1

        return await self._database.write_alone(write)

    async def reset(self, name: str) -> None:
        """Forget what was changed of a service."""

        def write(connection: Connection) -> None:
            connection.execute(delete(services).where(services.c.name == name))

        await self._database.write_alone(write)


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; later changes override earlier ones, table by table.

    >>> merged({"retries": 1, "operations": {"sms": {"count": 2}}}, {"operations": {"sms": {"window_ms": 5}}})
    {'retries': 1, 'operations': {'sms': {'count': 2, 'window_ms': 5}}}
    """
    both = dict(before)
    for name, value in changes.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
