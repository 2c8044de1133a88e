"""Received updates: each is stored before Telegram gets an answer, and handled once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text, update
from sqlalchemy.sql import ClauseElement

from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import updates
from tempogram.storage.processes.adopt_updates import adopt


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedUpdate:
    """One update as received. ``body`` is Telegram's JSON."""

    bot_id: int
    update_id: int
    body: bytes
    received_at_ms: int


class Updates:
    """The repository of updates. Concurrent writes share one transaction."""

    def __init__(self, database: Database, *, process: int) -> None:
        self._database = database
        self._process = process

    async def receive(self, bot_id: int, update_id: int, body: bytes, *, now_ms: int) -> bool:
        """Store one update; False if it was stored before.

        Raises:
            LedgerError: It may not be stored; Telegram must send it again.
        """
        received = ReceivedUpdate(bot_id=bot_id, update_id=update_id, body=body, received_at_ms=now_ms)
        return (await self.receive_many([received]))[0]

    async def receive_many(self, received: Sequence[ReceivedUpdate]) -> list[bool]:
        """Store several; raises as ``receive`` does."""
        return list(await self._database.write(_receive, [(each, self._process) for each in received]))

    async def mark_handled(self, handled: Sequence[tuple[int, int]], *, now_ms: int) -> None:
        """Store that updates, each a bot id and an update id, were handled."""
        await self._database.write(_mark, [_Handled(*each, now_ms, "handled", None) for each in handled])

    async def mark_failed(self, bot_id: int, update_id: int, *, reason: str, now_ms: int) -> None:
        """Store that handling an update failed for good."""
        await self._database.write(_mark, [_Handled(bot_id, update_id, now_ms, "failed", reason)])

    async def adopt(self, *, limit: int) -> list[ReceivedUpdate]:
        """Take over up to ``limit`` unhandled updates of dead processes, in order of arrival."""
        rows = await self._database.write_alone(lambda connection: adopt(connection, self._process, limit))
        return [_received(row) for row in rows]


class _Handled(NamedTuple):
    bot_id: int
    update_id: int
    handled_at_ms: int
    status: str
    reason: str | None


def _receive(connection: Connection, items: Sequence[tuple[ReceivedUpdate, int]]) -> list[bool]:
    rows = [(each.bot_id, each.update_id, each.body, each.received_at_ms, process) for each, process in items]
    new = {(row.bot_id, row.update_id) for row in INSERT_UPDATES.run(connection, sorted(rows))}
    answers = []
    for each, _ in items:
        key = each.bot_id, each.update_id
        answers.append(key in new)
        new.discard(key)  # of two in one batch only the first is new
    return answers


def _mark(connection: Connection, items: Sequence[_Handled]) -> list[None]:
    MARK_UPDATES.run(connection, items)
    return [None] * len(items)


def _received(row: Row[Any]) -> ReceivedUpdate:
    return ReceivedUpdate(bot_id=row.bot_id, update_id=row.update_id, body=row.body, received_at_ms=row.received_at_ms)


_HANDLED = updates.c.bot_id, updates.c.update_id, updates.c.handled_at_ms, updates.c.status, updates.c.reason


def _mark_updates(_dialect: str, rows: Binds) -> ClauseElement:
    handled = as_table("handled", _HANDLED, rows)
    is_meant = updates.c.bot_id == handled.c.bot_id, updates.c.update_id == handled.c.update_id
    changes = {name: handled.c[name] for name in ("handled_at_ms", "status", "reason")}
    # By the time, not by the status, for the reason given in ``ledger.record``.
    return update(updates).where(*is_meant, updates.c.handled_at_ms.is_(None)).values(changes)


def _insert_updates(dialect: str, rows: Binds) -> ClauseElement:
    received = [each | {"status": text("'received'")} for each in as_dicts(_RECEIVED, rows)]
    insert = insert_into(updates, dialect).values(received).on_conflict_do_nothing()
    return insert.returning(updates.c.bot_id, updates.c.update_id)


_RECEIVED = updates.c.bot_id, updates.c.update_id, updates.c.body, updates.c.received_at_ms, updates.c.owner

INSERT_UPDATES = BulkStatement(_RECEIVED, _insert_updates)
MARK_UPDATES = BulkStatement(_HANDLED, _mark_updates)
