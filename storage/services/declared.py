"""What was changed of a service while it ran, for all processes and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from tempogram.engine.ports.stored_services import StoredService, Words
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import services


class SqlServices:
    """See ``engine.ports.stored_services.StoredServices``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def declare(self, declared: Mapping[str, str]) -> None:
        known = await self.all()
        for name, declaration in sorted(declared.items()):
            if name not in known or known[name].declared != declaration:
                await self._write(name, lambda row, is_of=declaration: _declared(row, is_of))  # type: ignore[misc]

    async def all(self) -> dict[str, StoredService]:
        query = select(services.c.name, services.c.version, services.c.changes, services.c.declared)
        async with self._database.reading() as connection:
            return {name: StoredService(*rest) for name, *rest in await connection.execute(query)}

    async def change(self, name: str, changes: Words, check: Callable[[Words], object]) -> StoredService:
        def change(row: StoredService) -> StoredService:
            both = merged(row.changes, changes)
            check(both)
            return StoredService(row.version + 1, both, row.declared)

        return await self._write(name, change)

    async def reset(self, name: str) -> StoredService:
        return await self._write(name, lambda row: StoredService(row.version + 1, {}, row.declared))

    async def _write(self, name: str, change: Callable[[StoredService], StoredService]) -> StoredService:
        def write(connection: Connection) -> StoredService:
            # Insert the row before locking it: of two concurrent changes the second sees the first.
            first = insert_by(services, connection).values(name=name, version=1, changes={})
            connection.execute(first.on_conflict_do_nothing())
            of_name = services.c.name == name
            row = connection.execute(select(services).where(of_name).with_for_update()).one()
            new = change(StoredService(row.version, row.changes, row.declared))
            values = {"version": new.version, "changes": new.changes, "declared": new.declared}
            connection.execute(services.update().where(of_name).values(values))
            return new

        return await self._database.write_alone(write)


def _declared(row: StoredService, declared: str) -> StoredService:
    """Return what is stored after a start; processes that start together with one declaration raise one version."""
    return row if row.declared == declared else StoredService(row.version + 1, row.changes, declared)


def merged(before: Words, changes: Words) -> dict[str, Any]:
    """Return both; later changes override earlier ones, table by table.

    >>> merged({"retries": 1, "operations": {"sms": {"count": 2}}}, {"operations": {"sms": {"window_ms": 5}}})
    {'retries': 1, 'operations': {'sms': {'count': 2, 'window_ms': 5}}}
    """
    both = dict(before)
    for name, value in changes.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
