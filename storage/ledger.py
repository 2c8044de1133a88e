"""The ledger, kept in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from engine.messages import ChatId, Hold, Outgoing, PastSend, Spent, Status
from engine.ports.ledger import Accepted, Known, Record
from storage import additions, chat_ids, hold_writes
from storage import records as record_verbs
from storage.database import Database
from storage.models import IS_PAID, attempts, bots, chats, holds, messages, payloads
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

    async def open_messages(self, *, after_id: str, limit: int) -> list[Outgoing]:
        is_next = messages.c.id > after_id, messages.c.status == Status.QUEUED.value
        page = with_payloads().where(MESSAGE_IS_OPEN, *is_next).order_by(messages.c.id).limit(limit)
        async with self._database.reading() as connection:
            return [outgoing(row) for row in await connection.execute(page)]

    async def open_ids(self, *, after_id: str, before_id: str, limit: int) -> list[str]:
        is_meant = messages.c.id > after_id, messages.c.id < before_id, messages.c.status == Status.QUEUED.value
        page = select(messages.c.id).where(MESSAGE_IS_OPEN, *is_meant).order_by(messages.c.id).limit(limit)
        async with self._database.reading() as connection:
            return list((await connection.execute(page)).scalars())

    async def open_among(self, message_ids: Sequence[str]) -> list[Outgoing]:
        if not message_ids:
            return []
        is_meant = messages.c.id.in_(message_ids), messages.c.status == Status.QUEUED.value
        async with self._database.reading() as connection:
            rows = await connection.execute(with_payloads().where(MESSAGE_IS_OPEN, *is_meant).order_by(messages.c.id))
            return [outgoing(row) for row in rows]

    async def settle_interrupted(self, now_ms: int) -> list[PastSend]:
        return await self._database.write_alone(lambda connection: _settle_interrupted(connection, now_ms))

    async def sends_since(self, since_ms: int) -> list[PastSend]:
        columns = attempts.c.bot_id, real_chat(attempts), attempts.c.counted_at_ms, attempts.c.cost, attempts.c.is_paid
        sends = select(*columns).select_from(attempts.outerjoin(chats, is_chat_of(attempts)))
        async with self._database.reading() as connection:
            rows = await connection.execute(sends.where(attempts.c.counted_at_ms >= since_ms))
            return [
                PastSend(row.bot_id, chat_ids.from_text(row.real_chat_id), row.counted_at_ms, row.cost, row.is_paid)
                for row in rows
            ]

    async def spent_since(self, since_ms: int) -> list[Spent]:
        minute, at_ms = attempts.c.counted_at_ms // 60_000, func.max(attempts.c.counted_at_ms)
        paid = select(attempts.c.bot_id, at_ms.label("at_ms"), func.sum(attempts.c.cost).label("cost")).where(
            IS_PAID, attempts.c.counted_at_ms >= since_ms
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(paid.group_by(attempts.c.bot_id, minute))
            return [Spent(row.bot_id, row.at_ms, row.cost) for row in rows]

    async def holds(self, now_ms: int) -> list[Hold]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(holds).where(holds.c.until_ms > now_ms))
            return [Hold(row.bot_id, chat_ids.from_text(row.chat_id or None), row.until_ms) for row in rows]

    async def paused_bots(self) -> list[int]:
        async with self._database.reading() as connection:
            return list((await connection.execute(select(bots.c.bot_id).where(bots.c.paused))).scalars())

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


def _settle_interrupted(connection: Connection, now_ms: int) -> list[PastSend]:
    is_sending = MESSAGE_IS_OPEN, messages.c.status == Status.SENDING.value
    interrupted = connection.execute(select(messages).where(*is_sending)).all()
    ids = select(messages.c.id).where(*is_sending)
    connection.execute(delete(payloads).where(payloads.c.message_id.in_(ids)))
    uncertain = {"status": Status.UNCERTAIN.value, "settled_at_ms": now_ms, "reason": "interrupted while it was sent"}
    connection.execute(update(messages).where(*is_sending).values(uncertain))
    return [PastSend(row.bot_id, chat_ids.from_text(row.chat_id), now_ms, row.cost, row.is_paid) for row in interrupted]


def _pause(connection: Connection, bot_id: int, *, paused: bool) -> None:
    write = insert_by(bots, connection).values(bot_id=bot_id, paused=paused)
    connection.execute(write.on_conflict_do_update(index_elements=[bots.c.bot_id], set_={"paused": paused}))
