"""The ledger, kept in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from engine.messages import ChatId, Hold, Outgoing, PastSend, Status
from engine.ports.ledger import Accepted, Fault, Known, Record
from storage import additions, chat_ids, hold_writes
from storage import records as record_verbs
from storage.database import Database
from storage.models import attempts, bots, chats, holds, messages
from storage.outgoing import MESSAGE_IS_OPEN, is_chat_of, outgoing, real_chat, with_payloads
from storage.upsert import insert_by


class SqlLedger:
    """See ``Ledger``. Calls that meet share one transaction; see ``group_commit``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        return list(await self._database.write(additions.add, messages))

    async def discard(self, message_ids: Sequence[str]) -> None:
        await self._database.write(additions.discard, message_ids)

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        await self._database.write(record_verbs.mark_sending, message_ids)

    async def record(self, records: Sequence[Record]) -> None:
        await self._database.write(record_verbs.record, records)

    async def record_holds(self, holds: Sequence[Hold]) -> None:
        await self._database.write(hold_writes.hold, holds)

    async def open_messages(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[Outgoing]:
        is_next = messages.c.id > after_id, messages.c.status == Status.QUEUED.value
        page = with_payloads().where(MESSAGE_IS_OPEN, *is_next).order_by(messages.c.id).limit(limit)
        if bot_id is not None:
            page = page.where(messages.c.bot_id == bot_id)
        async with self._database.reading() as connection:
            return [outgoing(row) for row in await connection.execute(page)]

    async def open_ids(self, *, after_id: str, before_id: str, limit: int) -> list[str]:
        is_meant = messages.c.id > after_id, messages.c.id < before_id, messages.c.status == Status.QUEUED.value
        page = select(messages.c.id).where(MESSAGE_IS_OPEN, *is_meant).order_by(messages.c.id).limit(limit)
        async with self._database.reading() as connection:
            return list((await connection.execute(page)).scalars())

    async def last_id(self) -> str:
        async with self._database.reading() as connection:
            return (await connection.execute(select(func.max(messages.c.id)))).scalar() or ""

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        if not message_ids:
            return []
        is_meant = messages.c.id.in_(message_ids), messages.c.status == Status.QUEUED.value
        async with self._database.reading() as connection:
            rows = await connection.execute(with_payloads().where(MESSAGE_IS_OPEN, *is_meant).order_by(messages.c.id))
            return [outgoing(row) for row in rows]

    async def settle_interrupted(self, now_ms: int) -> int:
        return await self._database.write_alone(lambda connection: _settle_interrupted(connection, now_ms))

    async def presume(self, sends: Sequence[PastSend]) -> None:
        await self._database.write(record_verbs.presume, sends)

    async def sends_since(self, since_ms: int) -> list[PastSend]:
        columns = attempts.c.bot_id, real_chat(attempts), attempts.c.counted_at_ms, attempts.c.cost
        sends = select(*columns).select_from(attempts.outerjoin(chats, is_chat_of(attempts)))
        async with self._database.reading() as connection:
            rows = await connection.execute(sends.where(attempts.c.counted_at_ms >= since_ms))
            return [
                PastSend(row.bot_id, chat_ids.from_text(row.real_chat_id), row.counted_at_ms, row.cost) for row in rows
            ]

    async def holds(self, now_ms: int) -> list[Hold]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(holds).where(holds.c.until_ms > now_ms))
            return [Hold(row.bot_id, chat_ids.from_text(row.chat_id or None), row.until_ms) for row in rows]

    async def paused_bots(self) -> list[int]:
        silent = select(bots.c.bot_id).where(bots.c.paused | bots.c.removal.is_not(None))
        async with self._database.reading() as connection:
            return list((await connection.execute(silent)).scalars())

    async def aliases(self) -> list[tuple[int, ChatId, ChatId]]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(chats).where(chats.c.alias_of.is_not(None)))
            return [(row.bot_id, chat_ids.named(row.chat_id), chat_ids.named(row.alias_of)) for row in rows]

    async def weights(self) -> dict[int, int]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(bots.c.bot_id, bots.c.weight).where(bots.c.weight != 1))
            return {row.bot_id: row.weight for row in rows}

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        await self._database.write_alone(lambda connection: _pause(connection, bot_id, paused=paused))


def _settle_interrupted(connection: Connection, now_ms: int) -> int:
    is_sending = MESSAGE_IS_OPEN, messages.c.status == Status.SENDING.value
    interrupted = connection.execute(select(messages).where(*is_sending)).all()
    record_verbs.record(connection, [_interrupted(row, now_ms) for row in interrupted])
    return len(interrupted)


def _interrupted(row: Row[Any], now_ms: int) -> Record:
    return Record(
        message_id=row.id,
        bot_id=row.bot_id,
        chat_id=chat_ids.from_text(row.chat_id),
        cost=row.cost,
        status=Status.UNCERTAIN,
        attempt=row.attempt + 1,
        recorded_at_ms=now_ms,
        outcome="uncertain",
        counted_at_ms=now_ms,
        fault=Fault(code=None, reason="interrupted while it was sent"),
    )


def _pause(connection: Connection, bot_id: int, *, paused: bool) -> None:
    write = insert_by(bots, connection).values(bot_id=bot_id, paused=paused)
    connection.execute(write.on_conflict_do_update(index_elements=[bots.c.bot_id], set_={"paused": paused}))
