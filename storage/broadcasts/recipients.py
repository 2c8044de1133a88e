"""The rows of recipients: each waits, has a message under way, or has an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.broadcasts import FAILED, OF_STATUS, Addressee, Broadcast, Outcome
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.broadcast_store import PAUSED
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import (
    HAS_FAILED,
    IS_UNDER_WAY,
    IS_WAITING,
    broadcast_recipients,
    broadcasts,
    chats,
    messages,
)
from tempogram.storage.ledger import chat_ids
from tempogram.storage.messages import remove

rows = broadcast_recipients.c

HAS_MESSAGE = and_(IS_UNDER_WAY, rows.message_id > "")
"""A message that has not ended, in the form in which SQLite uses its index."""


def is_of(broadcast: Broadcast) -> ColumnElement[bool]:
    return rows.broadcast_id == broadcast.id


def is_under_way(broadcast: Broadcast) -> ColumnElement[bool]:
    return and_(is_of(broadcast), HAS_MESSAGE)


def count_under_way(broadcast_ids: Sequence[int]) -> Select[Any]:
    is_meant = rows.broadcast_id.in_(broadcast_ids), HAS_MESSAGE
    return select(rows.broadcast_id, func.count()).where(*is_meant).group_by(rows.broadcast_id)


def last_due(broadcast_ids: Sequence[int]) -> Select[Any]:
    """Select it for each by itself: so it is the last entry of an index, and not one of all that wait."""
    last = select(func.max(rows.due_at_ms)).where(rows.broadcast_id == broadcasts.c.id, IS_WAITING)
    of_each = select(broadcasts.c.id, func.coalesce(last.correlate(broadcasts).scalar_subquery(), 0))
    return of_each.where(broadcasts.c.id.in_(broadcast_ids))


def gather(connection: Connection, *, broadcast: Broadcast, due: Mapping[ChatId, int], to: str) -> None:
    """Insert recipients, unless another process has gone on from the same place."""
    is_here = broadcasts.c.id == broadcast.id, broadcasts.c.gathered_to == broadcast.gathered_to
    of_page = [(broadcast.id, str(chat_id), at_ms) for chat_id, at_ms in due.items()]
    goes_on = update(broadcasts).where(*is_here, ~broadcasts.c.is_gathered)
    moved = {"gathered_to": to, "is_gathered": not due, "recipients": broadcasts.c.recipients + len(due)}
    if connection.execute(goes_on.values(moved)).rowcount:
        INSERT_RECIPIENTS.run(connection, of_page)


def due(broadcast: Broadcast, now_ms: int) -> Select[Any]:
    of_chat = and_(chats.c.bot_id == broadcast.bot_id, chats.c.chat_id == rows.chat_id)
    return (
        select(rows.chat_id, rows.round, chats.c.title, chats.c.language, chats.c.opted_out_at_ms)
        .outerjoin(chats, of_chat)
        .where(is_of(broadcast), IS_WAITING, rows.due_at_ms <= now_ms)
        .order_by(rows.due_at_ms, rows.chat_id)
    )


def addressee(row: Row[Any]) -> Addressee:
    return Addressee(
        chat_id=chat_ids.required(row.chat_id),
        round=row.round,
        title=row.title,
        language=row.language,
        has_opted_out=row.opted_out_at_ms is not None,
    )


def note(connection: Connection, *, broadcast: Broadcast, message_ids: Mapping[ChatId, str]) -> None:
    NOTE_MESSAGES.run(connection, [(broadcast.id, str(chat_id), each) for chat_id, each in message_ids.items()])


def end_waiting(connection: Connection, *, broadcast: Broadcast, ended: Mapping[Outcome, Sequence[ChatId]]) -> None:
    for outcome, chat_ids_ in ended.items():
        _end(connection, broadcast, outcome, [str(each) for each in chat_ids_], IS_WAITING)


def ended(broadcast: Broadcast) -> Select[Any]:
    """Select recipients whose messages have ended; one that was deleted meanwhile has, too."""
    has_ended = or_(messages.c.id.is_(None), messages.c.settled_at_ms.is_not(None))
    of_message = messages.c.id == rows.message_id
    return (
        select(rows.chat_id, messages.c.status, messages.c.reason)
        .outerjoin(messages, of_message)
        .where(is_under_way(broadcast), has_ended)
    )


def settle(connection: Connection, *, broadcast: Broadcast, found: Sequence[Row[Any]]) -> None:
    by_outcome: dict[Outcome | None, list[str]] = {}
    for row in found:
        by_outcome.setdefault(_outcome(row), []).append(row.chat_id)
    for outcome, names in by_outcome.items():
        if outcome is None:
            _wait_again(connection, broadcast, names, IS_UNDER_WAY)
        else:
            _end(connection, broadcast, outcome, names, IS_UNDER_WAY)


def set_back(connection: Connection, *, broadcast: Broadcast, limit: int) -> int:
    """Let recipients that failed wait again, page by page; the last page ends the retry."""
    # With the comparison, SQLite uses the index; without it, it reads all recipients of the broadcast.
    is_next = is_of(broadcast), HAS_FAILED, rows.outcome > "", ~_was_replayed()
    found = connection.execute(select(rows.chat_id, rows.message_id, rows.outcome).where(*is_next).limit(limit)).all()
    if not found:
        over = update(broadcasts).where(broadcasts.c.id == broadcast.id).values(is_retrying=false())
        connection.execute(over)
        return 0
    is_dead = messages.c.status == Status.DEAD.value
    letters = [row.message_id for row in found if row.message_id is not None]
    remove(connection, select(messages.c.id).where(messages.c.id.in_(letters), is_dead))
    for outcome in FAILED:
        names = [row.chat_id for row in found if row.outcome == outcome.value]
        changed = _wait_again(connection, broadcast, names, HAS_FAILED)
        _count(connection, broadcast, outcome, -changed)
    return len(found)


def _outcome(row: Row[Any]) -> Outcome | None:
    """Return what a message's end means for its recipient; None: it waits again."""
    if row.status is None:
        return Outcome.DEAD  # its dead letter was purged
    return None if row.reason == PAUSED else OF_STATUS[Status(row.status)]


def _was_replayed() -> ColumnElement[bool]:
    """Tell whether a dead letter was replayed: it waits, or has ended otherwise by now."""
    lives = messages.c.status.not_in([Status.DEAD.value, Status.EXPIRED.value])
    return exists().where(messages.c.id == rows.message_id, lives)


def _end(connection: Connection, broadcast: Broadcast, outcome: Outcome, names: Sequence[str], when: Any) -> None:
    ended = update(broadcast_recipients).where(is_of(broadcast), when, rows.chat_id.in_(names))
    changed = connection.execute(ended.values(outcome=outcome.value)).rowcount
    _count(connection, broadcast, outcome, changed)


def _wait_again(connection: Connection, broadcast: Broadcast, names: Sequence[str], when: Any) -> int:
    again = update(broadcast_recipients).where(is_of(broadcast), when, rows.chat_id.in_(names))
    return connection.execute(again.values(message_id=None, outcome=None, round=rows.round + 1)).rowcount


def _count(connection: Connection, broadcast: Broadcast, outcome: Outcome, by: int) -> None:
    if by:
        counter = broadcasts.c[outcome.value]
        connection.execute(update(broadcasts).where(broadcasts.c.id == broadcast.id).values({counter: counter + by}))


_RECIPIENT = rows.broadcast_id, rows.chat_id, rows.due_at_ms
_NOTE = rows.broadcast_id, rows.chat_id, rows.message_id


def _insert(dialect: str, binds: Binds) -> ClauseElement:
    return insert_into(broadcast_recipients, dialect).values(as_dicts(_RECIPIENT, binds))


def _note(_dialect: str, binds: Binds) -> ClauseElement:
    noted = as_table("noted", _NOTE, binds)
    is_meant = rows.broadcast_id == noted.c.broadcast_id, rows.chat_id == noted.c.chat_id
    # Not ``IS_WAITING``, as ``noted`` has a ``message_id``, too.
    is_waiting = rows.message_id.is_(None), rows.outcome.is_(None)
    return update(broadcast_recipients).where(*is_meant, *is_waiting).values(message_id=noted.c.message_id)


INSERT_RECIPIENTS = BulkStatement(_RECIPIENT, _insert)
NOTE_MESSAGES = BulkStatement(_NOTE, _note)
