"""Handles: which number stands for which message, and what refers to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, exists, func, select

from tempogram.engine.model.messages import Priority, Status
from tempogram.engine.ports.handles import Referral, Target
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import IS_PARKED, chats, handles, last_handles, messages, referrals
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger.rows import is_chat_of, real_chat

NUMBER_MIN = -(1 << 31)
"""What is lower was never handed out, and no column of handles could be compared with it."""

IS_OPEN = messages.c.settled_at_ms.is_(None)


class SqlHandles:
    """See ``Handles``. What is handed out and referred to at once shares a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hand_out(self, bot_id: int, message_id: str, items: int) -> list[int]:
        (numbers,) = await self._database.write(_hand_out, [_Wanted(bot_id, message_id, items)])
        return numbers

    async def handed_out(self, message_id: str) -> list[int]:
        async with self._database.reading() as connection:
            return list((await connection.execute(_numbers(message_id))).scalars())

    async def targets(self, bot_id: int, numbers: Collection[int]) -> dict[int, Target]:
        async with self._database.reading() as connection:
            possible = [number for number in numbers if NUMBER_MIN <= number < 0]
            rows = await connection.execute(_targets(bot_id, possible))
            return {row.number: _target(row) for row in rows}

    async def refer(self, message_id: str, target_ids: Collection[str], *, after_ids: Collection[str]) -> None:
        named = [_Reference(message_id, target_id, is_named=True) for target_id in target_ids]
        others = [_Reference(message_id, each, is_named=False) for each in after_ids if each not in target_ids]
        await self._database.write(_refer, named + others)

    async def referrals(self, target_ids: Collection[str]) -> list[Referral]:
        if not target_ids:
            return []
        columns = *referrals.c, messages.c.method, messages.c.priority, messages.c.ready_at_ms, real_chat(messages)
        tables = referrals.join(messages, messages.c.id == referrals.c.message_id)
        referring = select(*columns).select_from(tables.outerjoin(chats, is_chat_of(messages)))
        is_meant = referrals.c.target_id.in_(target_ids), referrals.c.is_named, IS_OPEN
        async with self._database.reading() as connection:
            found = [_referral(row) for row in await connection.execute(referring.where(*is_meant))]
        # Not by the database: PostgreSQL would read all referrals in this order, to sort none.
        return sorted(found, key=attrgetter("message_id"))

    async def releasable(self, *, limit: int) -> list[str]:
        other, target = referrals.alias(), messages.alias()
        waits = exists().where(
            other.c.message_id == messages.c.id,
            target.c.id == other.c.target_id,
            target.c.settled_at_ms.is_(None),
        )
        page = select(messages.c.id).where(IS_PARKED, ~waits).order_by(messages.c.id).limit(limit)
        async with self._database.reading() as connection:
            return list((await connection.execute(page)).scalars())

    async def awaited(self, message_id: str) -> Sequence[str]:
        targets = select(referrals.c.target_id).join(messages, messages.c.id == referrals.c.target_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(targets.where(referrals.c.message_id == message_id, IS_OPEN))
            return list(rows.scalars())


class _Wanted(NamedTuple):
    bot_id: int
    message_id: str
    items: int


class _Reference(NamedTuple):
    message_id: str
    target_id: str
    is_named: bool


def _hand_out(connection: Connection, wanted: Sequence[_Wanted]) -> list[list[int]]:
    return [_numbers_of(connection, each) or _new_numbers(connection, each) for each in wanted]


def _numbers_of(connection: Connection, wanted: _Wanted) -> list[int]:
    return list(connection.execute(_numbers(wanted.message_id)).scalars())


def _numbers(message_id: str) -> Select[int]:
    return select(handles.c.number).where(handles.c.message_id == message_id).order_by(handles.c.item)


def _new_numbers(connection: Connection, wanted: _Wanted) -> list[int]:
    """Take the next numbers of a bot. The row of its last one is locked until the commit, so none is taken twice."""
    count = insert_by(last_handles, connection).values(bot_id=wanted.bot_id, number=-wanted.items)
    taken = count.on_conflict_do_update(
        index_elements=[last_handles.c.bot_id], set_={"number": last_handles.c.number - wanted.items}
    ).returning(last_handles.c.number)
    last = connection.execute(taken).scalar_one()
    rows = [
        {
            "bot_id": wanted.bot_id,
            "number": last + wanted.items - 1 - index,
            "message_id": wanted.message_id,
            "item": item,
        }
        for index, item in enumerate(range(-wanted.items, 0))
    ]
    connection.execute(insert_by(handles, connection).values(rows).on_conflict_do_nothing())
    return _numbers_of(connection, wanted)  # another process may have been faster


def _targets(bot_id: int, numbers: Iterable[int]) -> Select[Any]:
    others = handles.alias()
    items = select(func.count()).where(others.c.message_id == handles.c.message_id).scalar_subquery()
    columns = handles.c.number, handles.c.item, items.label("items"), messages, real_chat(messages)
    tables = handles.join(messages, messages.c.id == handles.c.message_id).outerjoin(chats, is_chat_of(messages))
    return select(*columns).select_from(tables).where(handles.c.bot_id == bot_id, handles.c.number.in_(numbers))


def _referral(row: Row[Any]) -> Referral:
    return Referral(
        message_id=row.message_id,
        target_id=row.target_id,
        chat_id=chat_ids.from_text(row.real_chat_id),
        method=row.method,
        priority=Priority(row.priority),
        ready_at_ms=row.ready_at_ms,
    )


def _target(row: Row[Any]) -> Target:
    return Target(
        message_id=row.id,
        items=row.items,
        chat_id=chat_ids.from_text(row.real_chat_id),
        method=row.method,
        priority=Priority(row.priority),
        status=Status(row.status),
        ready_at_ms=row.ready_at_ms,
        settled_at_ms=row.settled_at_ms,
        telegram_message_id=number_of(row.item, row.telegram_message_id, row.item_ids or ()),
        reason=row.reason,
    )


def number_of(item: int, telegram_message_id: int | None, item_ids: Sequence[int]) -> int | None:
    """Return Telegram's number of an item, counted from the end; None if it is not known.

    The first items of an album that arrived in parts are not known.

    >>> number_of(-1, 7, ()), number_of(-2, 7, (7, 8)), number_of(-3, 7, (7, 8))
    (7, 7, None)
    """
    if not item_ids:
        return telegram_message_id if item == -1 else None
    return item_ids[item] if -item <= len(item_ids) else None


def _refer(connection: Connection, references: Sequence[_Reference]) -> list[None]:
    rows = [each._asdict() for each in references]
    connection.execute(insert_by(referrals, connection).values(rows).on_conflict_do_nothing())
    return [None] * len(references)
