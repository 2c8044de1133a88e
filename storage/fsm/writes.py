"""The statements that write states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import eq
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import fsm_states
from tempogram.storage.fsm.rows import Content, Run, StateKey, StateRow

FORGOTTEN_MAX = 1_000
"""Rows of a removed bot that are deleted in one commit."""


def lock(connection: Connection, keys: Sequence[StateKey]) -> dict[StateKey, StateRow]:
    """Return the rows of these keys, which no other process can change before the commit; missing ones are inserted."""
    return {row.key: row for row in map(row_of, LOCK_ROWS.run(connection, keys))}


def store(connection: Connection, rows: Iterable[StateRow]) -> None:
    """Write rows that are locked, and delete those that are not needed."""
    needed: dict[bool, list[StateRow]] = {True: [], False: []}
    for row in rows:
        needed[row.is_needed].append(row)
    STORE_ROWS.count(connection, [_values(row) for row in needed[True]])
    DELETE_ROWS.count(connection, [row.key for row in needed[False]])


def forget_bot(connection: Connection, bot_id: int, *, only_if: ColumnElement[bool]) -> int:
    """Delete some states of a bot, and return how many; the last time none is left."""
    some = select(*_KEY).where(fsm_states.c.bot_id == bot_id).limit(FORGOTTEN_MAX)
    return connection.execute(delete(fsm_states).where(tuple_(*_KEY).in_(some), only_if)).rowcount


def move_chat(connection: Connection, bot_id: int, old: int, new: int) -> None:
    """Move the states of a group to the supergroup that it has become; one that is there already stays."""
    there = fsm_states.alias()
    user_id = case((fsm_states.c.user_id == old, new), else_=fsm_states.c.user_id)  # by aiogram's ``FSMStrategy.CHAT``
    same = (
        there.c[name] == fsm_states.c[name] for name in ("bot_id", "thread_id", "business_connection_id", "destiny")
    )
    is_there = exists().where(*same, there.c.chat_id == new, there.c.user_id == user_id)
    of_old = fsm_states.c.bot_id == bot_id, fsm_states.c.chat_id == old
    connection.execute(update(fsm_states).where(*of_old, ~is_there).values(chat_id=new, user_id=user_id))
    connection.execute(delete(fsm_states).where(*of_old))


def row_of(row: Row[Any]) -> StateRow:
    run = None if row.run is None else Run(row.update_id, row.run)
    key = StateKey(*(getattr(row, name) for name in StateKey._fields))
    return StateRow(key, Content(row.state, row.data), run, Content(row.state_before, row.data_before))


def _values(row: StateRow) -> tuple[Any, ...]:
    update_id, number = row.run or (None, None)
    return *row.key, *row.content, update_id, number, *row.before


_KEY = tuple(fsm_states.c[name] for name in StateKey._fields)
_CONTENT = tuple(fsm_states.c[name] for name in ("state", "data", "update_id", "run", "state_before", "data_before"))


def _lock_rows(dialect: str, rows: Binds) -> ClauseElement:
    insert = insert_into(fsm_states, dialect).values(as_dicts(_KEY, rows))
    # Written with its own value: a missing row is inserted, another one locked, and either is returned as it is.
    return insert.on_conflict_do_update(index_elements=_KEY, set_={"state": fsm_states.c.state}).returning(fsm_states)


def _store_rows(_dialect: str, rows: Binds) -> ClauseElement:
    new = as_table("new", (*_KEY, *_CONTENT), rows)
    is_meant = (each == new.c[each.name] for each in _KEY)
    return update(fsm_states).where(*is_meant).values({each.name: new.c[each.name] for each in _CONTENT})


def _delete_rows(_dialect: str, rows: Binds) -> ClauseElement:
    return delete(fsm_states).where(or_(*(and_(*map(eq, _KEY, row)) for row in rows)))


LOCK_ROWS = BulkStatement(_KEY, _lock_rows)
STORE_ROWS = BulkStatement((*_KEY, *_CONTENT), _store_rows)
DELETE_ROWS = BulkStatement(_KEY, _delete_rows)
