"""What a transaction changes of chats. It is written at its end, each row once, in the order of their keys.

So processes that change the same chats wait for one another and do not deadlock. What needs more than one statement
follows while all its rows are locked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, and_, case, func, null, or_
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.at_end import at_end
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import chats

REACHABLE = ""
"""The ``reason`` of a chat that is reachable again."""


class ChatChange(NamedTuple):
    """What becomes of one chat; what is None stays. A change of nothing only locks the row.

    Attributes:
        message_in_at_ms: A message came from there, so the chat is reachable.
        message_out_at_ms: A message was sent there; alone, that is a ``SentTo``.
        reason: Why it is unreachable, or ``REACHABLE``; that is for a chat that has a row.
        language: It is only stored while none is known.
        then: What is done after all rows were changed, and are locked.
    """

    bot_id: int
    chat_id: str
    message_in_at_ms: int | None = None
    message_out_at_ms: int | None = None
    reason: str | None = None
    title: str | None = None
    type: str | None = None
    language: str | None = None
    then: Callable[[Connection], None] | None = None


class SentTo(NamedTuple):
    """A message was sent to a chat: most changes are so, and only so."""

    bot_id: int
    chat_id: str
    at_ms: int
    type: str | None


def change_chats(connection: Connection, changes: Iterable[ChatChange | SentTo]) -> None:
    """Change chats at the end of the transaction."""
    at_end(connection, _write, changes)


def type_of(chat_id: ChatId) -> str | None:
    """Return the type of chat that an id tells: that of a user is above 0.

    Source: https://core.telegram.org/bots/features#dialog-ids
    """
    return "private" if isinstance(chat_id, int) and chat_id > 0 else None


def _write(connection: Connection, changes: Sequence[ChatChange | SentTo]) -> None:
    sent = [change for change in changes if isinstance(change, SentTo)]
    if len(sent) == len(changes):
        # Sorted, the latest of each chat is the last one of it.
        NOTE_SENT.run(connection, list({each[:2]: each for each in sorted(sent)}.values()))
        return
    others = [change for change in changes if isinstance(change, ChatChange)]
    merged: dict[tuple[int, str], ChatChange] = {}
    for change in (*map(_as_change, sent), *others):
        before = merged.get(change[:2])
        merged[change[:2]] = change if before is None else _merge(before, change)
    CHANGE_CHATS.run(connection, [_row(merged[key]) for key in sorted(merged)])
    for change in others:
        if change.then is not None:
            change.then(connection)


def _as_change(sent: SentTo) -> ChatChange:
    return ChatChange(sent.bot_id, sent.chat_id, message_out_at_ms=sent.at_ms, type=sent.type)


def _merge(before: ChatChange, after: ChatChange) -> ChatChange:
    """Return both changes of one chat as one."""
    return ChatChange(
        *after[:2],
        message_in_at_ms=_later(before.message_in_at_ms, after.message_in_at_ms),
        message_out_at_ms=_later(before.message_out_at_ms, after.message_out_at_ms),
        reason=after.reason if _says_reach(after) else before.reason,
        title=after.title or before.title,
        type=after.type or before.type,
        language=before.language or after.language,
    )


def _later(one_ms: int | None, other_ms: int | None) -> int | None:
    return other_ms if one_ms is None else one_ms if other_ms is None else max(one_ms, other_ms)


def _says_reach(change: ChatChange) -> bool:
    return change.reason is not None or change.message_in_at_ms is not None


def _row(change: ChatChange) -> tuple[Any, ...]:
    is_lost = bool(change.reason)
    return (
        change.bot_id,
        change.chat_id,
        not is_lost,
        change.reason,
        change.message_in_at_ms,
        change.message_out_at_ms,
        change.title,
        change.type,
        change.language,
    )


def later_of(column: Column[int | None], new: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the later of a stored time and a new one; either may be NULL."""
    # An update that is handled again after a crash may be older than the stored time.
    return case((column > new, column), else_=func.coalesce(new, column))


def _change_chats(dialect: str, rows: Binds) -> ClauseElement:
    write = insert_into(chats, dialect)
    new = write.excluded
    is_open = and_(new.reachable, or_(new.last_message_in_at_ms.is_not(None), new.reason.is_not(None)))
    changes = {
        "reachable": and_(new.reachable, or_(is_open, chats.c.reachable)),
        "reason": case((is_open, null()), (new.reachable, chats.c.reason), else_=new.reason),
        "last_message_in_at_ms": later_of(chats.c.last_message_in_at_ms, new.last_message_in_at_ms),
        "last_message_out_at_ms": later_of(chats.c.last_message_out_at_ms, new.last_message_out_at_ms),
        "title": func.coalesce(new.title, chats.c.title),
        "type": func.coalesce(new.type, chats.c.type),
        "language": func.coalesce(chats.c.language, new.language),
    }
    return write.values(as_dicts(_CHANGE, rows)).on_conflict_do_update(index_elements=_KEY, set_=changes)


def _note_sent(dialect: str, rows: Binds) -> ClauseElement:
    write = insert_into(chats, dialect)
    sent_ms = write.excluded.last_message_out_at_ms
    is_later = or_(chats.c.last_message_out_at_ms.is_(None), chats.c.last_message_out_at_ms < sent_ms)
    return write.values(as_dicts(_SENT, rows)).on_conflict_do_update(
        index_elements=_KEY, set_={"last_message_out_at_ms": sent_ms}, where=is_later
    )


_KEY = [chats.c.bot_id, chats.c.chat_id]

_CHANGE = (
    *_KEY,
    chats.c.reachable,
    chats.c.reason,
    chats.c.last_message_in_at_ms,
    chats.c.last_message_out_at_ms,
    chats.c.title,
    chats.c.type,
    chats.c.language,
)

_SENT = *_KEY, chats.c.last_message_out_at_ms, chats.c.type

CHANGE_CHATS = BulkStatement(_CHANGE, _change_chats)
NOTE_SENT = BulkStatement(_SENT, _note_sent)
"""The same for what most transactions change: times of messages that were sent."""
