"""Stores new messages in batches, and deletes those that were not admitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, text, tuple_
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports.ledger import Accepted, Fault, Known
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import attempts, messages, payloads
from tempogram.storage.files import writes as file_writes
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger.rows import BY_CALL

ACCEPTED = Accepted()

IS_QUEUED = messages.c.status == Status.QUEUED.value

DedupKey = tuple[int, str]
"""A bot's id, and the message's ``dedup_key``."""


def add(connection: Connection, items: Sequence[Outgoing]) -> list[Accepted | Known]:
    """Insert new messages with their payloads; return an answer for each.

    A message whose id exists was added by a commit whose answer was lost: it is accepted.
    """
    # Sorted, so that two processes that add the same keys wait for one another and do not deadlock.
    # The sort is stable: of equal keys the first stays first.
    ordered = sorted(items, key=key_of)
    inserted = INSERT_MESSAGES.count(connection, [_row(message) for message in ordered])
    if inserted == len(items):
        INSERT_PAYLOADS.run(connection, [(message.id, message.params) for message in items])
        return [ACCEPTED] * len(items)
    existing = _open_ids(connection, items)
    INSERT_PAYLOADS.run(connection, [(message.id, message.params) for message in items if message.id in existing])
    before = known(connection, (each for each in items if each.dedup_key is not None and each.id not in existing))
    return [ACCEPTED if message.id in existing else _answer(message, before.get(key_of(message))) for message in items]


def _open_ids(connection: Connection, items: Iterable[Outgoing]) -> set[str]:
    ids = [message.id for message in items]
    return set(connection.execute(select(messages.c.id).where(messages.c.id.in_(ids), IS_QUEUED)).scalars())


def _answer(message: Outgoing, before: Known | None) -> Accepted | Known:
    return ACCEPTED if before is None or before.message_id == message.id else before


def discard(connection: Connection, message_ids: Sequence[str]) -> list[None]:
    connection.execute(delete(payloads).where(payloads.c.message_id.in_(message_ids)))
    connection.execute(delete(messages).where(messages.c.id.in_(message_ids), messages.c.status == Status.QUEUED.value))
    file_writes.forget(connection, message_ids)
    return [None] * len(message_ids)


def known(connection: Connection, items: Iterable[Outgoing]) -> dict[DedupKey, Known]:
    """Return the messages that were accepted before, by their keys."""
    keys = {key_of(message) for message in items if message.dedup_key is not None}
    if not keys:
        return {}
    columns = messages.c.bot_id, messages.c.dedup_key
    state = messages.c.id, messages.c.status, messages.c.telegram_message_id
    # SQLite uses the index of keys only if NULL is excluded; else it reads all that the bot has ever sent.
    is_meant = messages.c.dedup_key.is_not(None), tuple_(*columns).in_(keys)
    rows = connection.execute(select(*state, *columns).where(*is_meant))
    return {(row.bot_id, row.dedup_key): Known(row.id, Status(row.status), row.telegram_message_id) for row in rows}


def standings(connection: Connection, message_ids: Sequence[str]) -> dict[str, Known]:
    """Return where messages stand that are kept."""
    of_message = attempts.c.message_id == messages.c.id
    last = select(attempts.c.code).where(of_message).order_by(BY_CALL.desc()).limit(1)
    state = messages.c.id, messages.c.status, messages.c.telegram_message_id, messages.c.item_ids, messages.c.reason
    kept = select(*state, last.scalar_subquery().label("code")).where(messages.c.id.in_(message_ids))
    return {row.id: _standing(row) for row in connection.execute(kept)}


def _standing(row: Row[*tuple[Any, ...]]) -> Known:
    fault = None if row.reason is None else Fault(code=row.code, reason=row.reason)
    return Known(row.id, Status(row.status), row.telegram_message_id, fault, tuple(row.item_ids or ()))


def key_of(message: Outgoing) -> DedupKey:
    return message.bot_id, message.dedup_key or ""


def _row(message: Outgoing) -> tuple[Any, ...]:
    return (
        message.id,
        message.bot_id,
        chat_ids.to_text(message.chat_id),
        message.method,
        message.priority.value,
        message.cost,
        message.guarantee.value,
        message.dedup_key,
        message.attempt,
        message.submitted_at_ms,
        message.ready_at_ms,
        message.expires_at_ms,
        message.replaces,
        message.user_id,
        message.is_paid,
        message.tag,
    )


_COLUMNS = (
    messages.c.id,
    messages.c.bot_id,
    messages.c.chat_id,
    messages.c.method,
    messages.c.priority,
    messages.c.cost,
    messages.c.guarantee,
    messages.c.dedup_key,
    messages.c.attempt,
    messages.c.submitted_at_ms,
    messages.c.ready_at_ms,
    messages.c.expires_at_ms,
    messages.c.replaces,
    messages.c.user_id,
    messages.c.is_paid,
    messages.c.tag,
)


def _insert_messages(dialect: str, rows: Binds) -> ClauseElement:
    constants = {"direction": text("'out'"), "status": text("'queued'")}
    every = [each | constants for each in as_dicts(_COLUMNS, rows)]
    return insert_into(messages, dialect).values(every).on_conflict_do_nothing()


def _insert_payloads(dialect: str, rows: Binds) -> ClauseElement:
    every = [{"message_id": row[0], "params": row[1]} for row in rows]
    return insert_into(payloads, dialect).values(every).on_conflict_do_nothing()


INSERT_MESSAGES = BulkStatement(_COLUMNS, _insert_messages)
INSERT_PAYLOADS = BulkStatement((payloads.c.message_id, payloads.c.params), _insert_payloads)
