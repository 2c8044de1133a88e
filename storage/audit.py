"""Who changed what, when, from where: rows that nothing changes, and that leave after ``AUDIT_DAYS``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Row, Select, insert, select

from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import audit

VALUE_BYTES_MAX = 16_384
"""Of ``before`` and of ``after``; what is larger is replaced by its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change.

    Attributes:
        id: Sorts by time.
        at_ms: Milliseconds since the epoch.
        who: The name of the caller, such as ``admin`` or ``user:anna``.
        role: What it was allowed to do.
        address: From where; empty: not over the network.
        action: The route, such as ``PATCH /services/{name}``.
        target: What was changed, such as ``name=twilio``.
        before: What was there of what was changed: names, numbers and ids, no texts and no secrets.
        after: What is there now.
    """

    who: str
    role: str
    address: str
    action: str
    target: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    at_ms: int = 0


class SqlAudit:
    """The repository of changes. Each method raises ``LedgerError`` if the database refuses."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._ids = Ids()

    async def add(self, change: Change) -> None:
        at_ms = self._clock()
        values = {
            "id": self._ids.new(at_ms),
            "at_ms": at_ms,
            "who": change.who,
            "role": change.role,
            "address": change.address,
            "action": change.action,
            "target": change.target,
            "before": _text(change.before),
            "after": _text(change.after),
        }
        await self._database.write_alone(lambda connection: connection.execute(insert(audit).values(values)).rowcount)

    async def page(
        self, *, before_id: str | None, limit: int, who: str | None = None, target: str | None = None
    ) -> list[Change]:
        """Return changes, newest first; ``before_id`` is the last id of the page before."""
        async with self._database.reading() as connection:
            found = await connection.execute(page_of(before_id=before_id, limit=limit, who=who, target=target))
            return [_change(row) for row in found]


def page_of(*, before_id: str | None, limit: int, who: str | None, target: str | None) -> Select[Any]:
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    if who is not None:
        query = query.where(audit.c.who == who)
    if target is not None:
        query = query.where(audit.c.target == target)
    return query


def _text(values: Mapping[str, Any]) -> str:
    text = msgspec.json.encode(values)
    if len(text) > VALUE_BYTES_MAX:
        text = msgspec.json.encode({"bytes": len(text)})
    return text.decode()


def _change(row: Row[Any]) -> Change:
    columns = row._mapping  # noqa: SLF001 - its public name
    decoded = {name: msgspec.json.decode(columns[name]) for name in ("before", "after")}
    return Change(**{**columns, **decoded})
