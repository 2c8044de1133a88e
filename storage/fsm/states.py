"""The repository of FSM states: one row for each key, read by its primary key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import fsm_states
from tempogram.storage.fsm import writes
from tempogram.storage.fsm.data import DataTooLarge, encode, merged
from tempogram.storage.fsm.rows import Content, Run, StateKey, StateRow

Edit = Callable[[Content], Content]
"""Returns the new content; it runs while no other process can change the row."""


class States:
    """The repository of states. Concurrent writes share a transaction, and those of one key keep their order.

    Each method takes the run of the update for which it is called; None: outside of any handler. An update that is
    handled again after a crash finds what it found the first time, unless another update changed it since.

    Every write returns what is stored then. A key without state and data has no row, once its update is handled.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: StateKey, run: Run | None) -> Content:
        """Return state and data of a key. Cost: one read by primary key."""
        async with self._database.reading() as connection:
            found = (await connection.execute(_OF_KEY, key._asdict())).first()
        row = StateRow(key) if found is None else writes.row_of(found)
        return await self._write(key, run, _unchanged) if row.is_to_be_restored(run) else row.content

    async def set_state(self, key: StateKey, run: Run | None, *, state: str | None) -> Content:
        return await self._write(key, run, lambda content: content._replace(state=state))

    async def set_data(self, key: StateKey, run: Run | None, *, data: Mapping[str, Any]) -> Content:
        """Replace the data.

        Raises:
            NotJson, DataTooLarge: Nothing was stored.
        """
        encoded = encode(data)
        return await self._write(key, run, lambda content: content._replace(data=encoded))

    async def update_data(self, key: StateKey, run: Run | None, *, data: Mapping[str, Any]) -> Content:
        """Change the data like ``dict.update``: of concurrent changes none is lost. Raises as ``set_data`` does."""
        return await self._write(key, run, partial(_with_changes, encode(data)))

    async def _write(self, key: StateKey, run: Run | None, edit: Edit) -> Content:
        (answer,) = await self._database.write(_apply, [_Edited(key, run, edit)])
        if isinstance(answer, DataTooLarge):
            raise answer
        return answer


class _Edited(NamedTuple):
    key: StateKey
    run: Run | None
    edit: Edit


def _apply(connection: Connection, items: Sequence[_Edited]) -> list[Content | DataTooLarge]:
    """Make all edits; the one verb that writes rows, so that every process locks them in the same order."""
    rows = writes.lock(connection, sorted({each.key for each in items}))
    answers = [_edit(rows, each) for each in items]
    writes.store(connection, rows.values())
    return answers


def _edit(rows: dict[StateKey, StateRow], item: _Edited) -> Content | DataTooLarge:
    row = rows[item.key].opened_by(item.run)
    try:
        content = item.edit(row.content)
    except DataTooLarge as error:  # an answer, as an error would be the error of the whole transaction
        return error
    rows[item.key] = StateRow(row.key, content, row.run, row.before)
    return content


def _unchanged(content: Content) -> Content:
    return content


def _with_changes(changes: bytes | None, content: Content) -> Content:
    return content._replace(data=merged(content.data, changes))


_OF_KEY = select(fsm_states).where(*(fsm_states.c[name] == bindparam(name) for name in StateKey._fields))
