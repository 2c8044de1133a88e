"""What an operator, an import or a user says of chats, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    case,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import QuietHours
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import chat_tags, chats
from tempogram.storage.ledger.chat_changes import ChatChange, change_chats, later_of, type_of


class Unchanged(Enum):
    """The type of ``UNCHANGED``: what is not said of a chat stays."""

    UNCHANGED = auto()


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFacts:
    """What is said of a chat. None deletes what was known.

    Attributes:
        time_zone: An IANA name.
        language: An IETF tag.
        opted_out_at_ms: When it was said that the bot must not write of its own accord; one said before stays.
        quiet_hours: See ``QuietHours``.
        tags: All that it has from now on.
        last_message_in_at_ms: A later one that is stored stays.
    """

    chat_id: ChatId
    time_zone: str | Unchanged | None = UNCHANGED
    language: str | Unchanged | None = UNCHANGED
    title: str | Unchanged | None = UNCHANGED
    type: str | Unchanged | None = UNCHANGED
    opted_out_at_ms: int | Unchanged | None = UNCHANGED
    quiet_hours: QuietHours | Unchanged | None = UNCHANGED
    tags: tuple[str, ...] | Unchanged = UNCHANGED
    last_message_in_at_ms: int | Unchanged = UNCHANGED


def set_facts(connection: Connection, bot_id: int, facts: Sequence[ChatFacts]) -> None:
    """Store what is said of chats, under their present ids; said twice of one chat, the later counts."""
    present = _present(connection, bot_id, facts)
    merged = _merged((present.get(str(each.chat_id), str(each.chat_id)), each) for each in facts)

    def write(connection: Connection) -> None:
        SET_FACTS.run(connection, [_row(bot_id, name, said) for name, said in merged.items()])
        tags = {name: said["tags"] for name, said in merged.items() if "tags" in said}
        connection.execute(delete(chat_tags).where(chat_tags.c.bot_id == bot_id, chat_tags.c.chat_id.in_(tags)))
        ADD_TAGS.run(connection, [(bot_id, tag, name) for name, all_tags in tags.items() for tag in set(all_tags)])

    # The rows are made, or locked, together with all others that the transaction changes.
    rows = [ChatChange(bot_id, name, type=_type(said)) for name, said in merged.items()]
    change_chats(connection, [*rows[:-1], rows[-1]._replace(then=write)] if rows else [])


def _present(connection: Connection, bot_id: int, facts: Iterable[ChatFacts]) -> dict[str, str]:
    """Return the present ids of those that are given by another one."""
    names = {str(each.chat_id) for each in facts}
    is_alias = chats.c.bot_id == bot_id, chats.c.chat_id.in_(names), chats.c.alias_of.is_not(None)
    return {row.chat_id: row.alias_of for row in connection.execute(select(chats).where(*is_alias))}


def _merged(facts: Iterable[tuple[str, ChatFacts]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for name, each in facts:
        said = merged.setdefault(name, {"chat_id": each.chat_id})
        said |= {field: value for field in _FIELDS if (value := getattr(each, field)) is not UNCHANGED}
    return merged


def _type(said: dict[str, Any]) -> str | None:
    return None if "type" in said else type_of(said["chat_id"])


def _row(bot_id: int, name: str, said: dict[str, Any]) -> tuple[Any, ...]:
    hours = said.get("quiet_hours")
    whole = said | {
        "quiet_from": None if hours is None else hours.from_minute,
        "quiet_until": None if hours is None else hours.until_minute,
    }
    given = sum(1 << bit for bit, field in enumerate(_FIELDS) if field in said)
    return bot_id, name, given, *(whole.get(each.name) for each in _VALUES)


_FIELDS = tuple(each.name for each in fields(ChatFacts) if each.name != "chat_id")

_VALUES = (
    chats.c.time_zone,
    chats.c.language,
    chats.c.title,
    chats.c.type,
    chats.c.opted_out_at_ms,
    chats.c.quiet_from,
    chats.c.quiet_until,
    chats.c.last_message_in_at_ms,
)

_GIVEN: Column[int] = Column("given", Integer)
"""Which of ``_FIELDS`` were said: a bit for each."""

_SET = chats.c.bot_id, chats.c.chat_id, _GIVEN, *_VALUES


def _set_facts(_dialect: str, rows: Binds) -> ClauseElement:
    said = as_table("said", _SET, rows)

    def chosen(field: str, name: str, new: ColumnElement[Any]) -> ColumnElement[Any]:
        bit: ColumnElement[int] = literal_column(str(1 << _FIELDS.index(field)))
        return case((said.c.given.op("&")(bit) == bit, new), else_=chats.c[name])

    hours = "quiet_from", "quiet_until"
    changes = {name: chosen("quiet_hours", name, said.c[name]) for name in hours}
    changes |= {
        each.name: chosen(each.name, each.name, said.c[each.name]) for each in _VALUES if each.name not in hours
    }
    changes["last_message_in_at_ms"] = later_of(chats.c.last_message_in_at_ms, said.c.last_message_in_at_ms)
    new = said.c.opted_out_at_ms
    opted_out = case((new.is_not(None), func.coalesce(chats.c.opted_out_at_ms, new)))
    changes["opted_out_at_ms"] = chosen("opted_out_at_ms", "opted_out_at_ms", opted_out)
    return update(chats).where(chats.c.bot_id == said.c.bot_id, chats.c.chat_id == said.c.chat_id).values(changes)


def _add_tags(dialect: str, rows: Binds) -> ClauseElement:
    return insert_into(chat_tags, dialect).values(as_dicts(_TAG, rows)).on_conflict_do_nothing()


_TAG = chat_tags.c.bot_id, chat_tags.c.tag, chat_tags.c.chat_id


SET_FACTS = BulkStatement(_SET, _set_facts)
ADD_TAGS = BulkStatement(_TAG, _add_tags)


def quiet_hours_of(row: Row[Any]) -> QuietHours | None:
    """Return the quiet hours of a chat's row; None: it has none of its own."""
    return None if row.quiet_from is None else QuietHours(from_minute=row.quiet_from, until_minute=row.quiet_until)
