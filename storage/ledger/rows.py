"""Reads messages that may still be sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, func, select, text

from tempogram.engine.model.messages import Guarantee, Outgoing, Priority
from tempogram.storage.database.models import IS_OPEN, attempts, chats, messages, payloads
from tempogram.storage.ledger import chat_ids

MESSAGE_IS_OPEN = text("messages." + IS_OPEN.text)
"""``IS_OPEN`` for a query over several tables; it still repeats the text of the partial index."""

BY_CALL = attempts.c.id + 0
"""The order of calls, as no index has it: PostgreSQL, which sorts only if it must (``PLANNER_SETTINGS``), would read
all attempts in the order of their ids to find those of one message."""


def with_payloads() -> Select[Any]:
    """Select messages that have a payload, with the present id of their chat."""
    return (
        select(messages, real_chat(messages), payloads.c.params)
        .join(payloads, payloads.c.message_id == messages.c.id)
        .outerjoin(chats, is_chat_of(messages))
    )


def outgoing(row: Row[Any]) -> Outgoing:
    return Outgoing(
        id=row.id,
        bot_id=row.bot_id,
        chat_id=chat_ids.from_text(row.real_chat_id),
        method=row.method,
        params=row.params,
        priority=Priority(row.priority),
        cost=row.cost,
        submitted_at_ms=row.submitted_at_ms,
        ready_at_ms=row.ready_at_ms,
        expires_at_ms=row.expires_at_ms,
        guarantee=Guarantee(row.guarantee),
        dedup_key=row.dedup_key,
        attempt=row.attempt,
        replaces=row.replaces,
        user_id=row.user_id,
        is_paid=row.is_paid,
        tag=row.tag,
    )


def is_chat_of(table: Table) -> ColumnElement[bool]:
    return and_(chats.c.bot_id == table.c.bot_id, chats.c.chat_id == table.c.chat_id)


def real_chat(table: Table) -> ColumnElement[str | None]:
    """Return the chat's present id; the row may have an older one."""
    return func.coalesce(chats.c.alias_of, table.c.chat_id).label("real_chat_id")
