"""The ledger in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, true, tuple_, update

from tempogram.engine.model.messages import (
    OPEN,
    BotChat,
    ChatId,
    Hold,
    Outgoing,
    PastSend,
    PausedBy,
    Priority,
    Spent,
    Status,
)
from tempogram.engine.ports.ledger import Accepted, Alias, Fault, Known, OpenCounts, Record
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import database_now_ms, insert_by
from tempogram.storage.database.models import IS_PAID, LOST, THROTTLED, attempts, bots, chats, holds, messages
from tempogram.storage.ledger import add, amend, chat_ids, doubts, set_back
from tempogram.storage.ledger import holds as hold_writes
from tempogram.storage.ledger import record as record_verbs
from tempogram.storage.ledger.rows import MESSAGE_IS_OPEN, outgoing, with_payloads


class SqlLedger:
    """See ``Ledger``. Concurrent calls share one transaction; see ``group_commit``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        return list(await self._database.write(add.add, messages))

    async def known(self, messages: Sequence[Outgoing]) -> list[Known | None]:
        if all(message.dedup_key is None for message in messages):
            return [None] * len(messages)
        async with self._database.reading() as connection:
            before = await connection.run_sync(add.known, messages)
        return [before.get(add.key_of(message)) for message in messages]

    async def standings(self, message_ids: Sequence[str]) -> list[Known | None]:
        async with self._database.reading() as connection:
            kept = await connection.run_sync(add.standings, message_ids)
        return [kept.get(message_id) for message_id in message_ids]

    async def discard(self, message_ids: Sequence[str]) -> None:
        await self._database.write(add.discard, message_ids)

    async def mark_sending(self, message_ids: Sequence[str]) -> None:
        await self._database.write(record_verbs.mark_sending, message_ids)

    async def record(self, records: Sequence[Record]) -> None:
        await self._database.write(record_verbs.record, records, patient=True)

    async def end_many(self, message_ids: Sequence[str], *, status: Status, fault: Fault, now_ms: int) -> None:
        await self._database.write_alone(
            lambda connection: record_verbs.end_many(connection, message_ids, status, fault, now_ms)
        )

    async def cancel(self, message_id: str, *, now_ms: int) -> bool:
        return await self._database.write_alone(lambda connection: record_verbs.cancel(connection, message_id, now_ms))

    async def amend(self, messages: Sequence[Outgoing]) -> None:
        await self._database.write(amend.amend, messages)

    async def record_holds(self, holds: Sequence[Hold], *, now_ms: int) -> None:
        await self._database.write(hold_writes.hold, [hold_writes.BegunHold(each, now_ms) for each in holds])

    async def follow_clock(self, now_ms: int) -> int:
        return await self._database.write_alone(lambda connection: set_back.follow_clock(connection, now_ms))

    async def open_messages(self, *, after_id: str, limit: int, bot_id: int | None = None) -> list[Outgoing]:
        page = open_page(with_payloads(), after_id=after_id, limit=limit, bot_id=bot_id)
        async with self._database.reading() as connection:
            return [outgoing(row) for row in await connection.execute(page)]

    async def open_ids(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[str]:
        page = open_page(select(messages.c.id), after_id=after_id, limit=limit, bot_id=bot_id)
        if tag is not None:
            page = page.where(messages.c.tag == tag)
        async with self._database.reading() as connection:
            return list((await connection.execute(page)).scalars())

    async def open_counts(self) -> OpenCounts:
        async with self._database.reading() as connection:
            rows = (await connection.execute(OPEN_COUNTS)).all()
        waiting = {Priority(row.priority): row.messages for row in rows if not row.is_retry}
        return OpenCounts(waiting=waiting, retry=sum(row.messages for row in rows if row.is_retry))

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

    async def times_lost(self, message_ids: Sequence[str]) -> list[int]:
        is_meant = attempts.c.message_id.in_(message_ids), attempts.c.outcome == LOST
        counts = select(attempts.c.message_id, func.count()).where(*is_meant).group_by(attempts.c.message_id)
        async with self._database.reading() as connection:
            times = {row[0]: row[1] for row in await connection.execute(counts)}
        return [times.get(message_id, 0) for message_id in message_ids]

    async def may_have_arrived(self, message: Outgoing) -> bool:
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(doubts.may_have_arrived(message)))).scalar())

    async def has_moved(self, message: Outgoing) -> bool:
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(doubts.has_moved(message)))).scalar())

    async def settle_interrupted(self, now_ms: int, *, longer_than_ms: int = 0) -> int:
        return await self._database.write_alone(
            lambda connection: _settle_interrupted(connection, now_ms, longer_than_ms)
        )

    async def presume(self, sends: Sequence[PastSend]) -> None:
        await self._database.write(record_verbs.presume, sends)

    async def sends_since(self, since_ms: int, *, now_ms: int) -> list[PastSend]:
        async with self._database.reading() as connection:
            found = [*await connection.execute(set_back.sends(since_ms, now_ms))]
            found += await connection.execute(set_back.sends_ahead(now_ms))
        return [
            PastSend(row.bot_id, chat_ids.from_text(row.real_chat_id), row.counted_at_ms, row.cost, row.is_paid)
            for row in found
        ]

    async def ended_since(self, since_ms: int) -> list[str]:
        is_ended = messages.c.id == attempts.c.message_id, messages.c.status.not_in([each.value for each in OPEN])
        ended = select(attempts.c.message_id).distinct().where(attempts.c.counted_at_ms >= since_ms, *is_ended)
        async with self._database.reading() as connection:
            return list((await connection.execute(ended)).scalars())

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
        silent = select(bots.c.bot_id).where(bots.c.paused | bots.c.removal.is_not(None))
        async with self._database.reading() as connection:
            return list((await connection.execute(silent)).scalars())

    async def aliases(self) -> list[Alias]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(chats).where(chats.c.alias_of.is_not(None)))
            return [
                Alias(
                    row.bot_id,
                    chat_ids.required(row.chat_id),
                    chat_ids.required(row.alias_of),
                    row.alias_since_ms,
                )
                for row in rows
            ]

    async def unreachable_chats(self, *, limit: int) -> list[tuple[int, ChatId, str]]:
        is_lost = chats.c.reachable.is_(False), chats.c.alias_of.is_(None)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(chats).where(*is_lost).limit(limit))
            return [(row.bot_id, chat_ids.required(row.chat_id), row.reason) for row in rows]

    async def reach_of(self, bot_chats: Collection[BotChat]) -> dict[BotChat, tuple[ChatId | None, str | None]]:
        keys = [(bot_id, str(chat_id)) for bot_id, chat_id in bot_chats]
        found = select(chats).where(tuple_(chats.c.bot_id, chats.c.chat_id).in_(keys))
        async with self._database.reading() as connection:
            rows = await connection.execute(found)
            return {
                (row.bot_id, chat_ids.required(row.chat_id)): (chat_ids.from_text(row.alias_of), row.reason)
                for row in rows
                if row.alias_of is not None or not row.reachable
            }

    async def open_of_chat(self, bot_id: int, chat_id: ChatId, *, after_id: str, limit: int) -> list[Outgoing]:
        of_bot = messages.c.bot_id == bot_id, messages.c.id > after_id, messages.c.status == Status.QUEUED.value
        async with self._database.reading() as connection:
            other_names = select(chats.c.chat_id).where(chats.c.bot_id == bot_id, chats.c.alias_of == str(chat_id))
            names = [str(chat_id), *(await connection.execute(other_names)).scalars()]
            page = with_payloads().where(MESSAGE_IS_OPEN, *of_bot, messages.c.chat_id.in_(names))
            return [outgoing(row) for row in await connection.execute(page.order_by(messages.c.id).limit(limit))]

    async def weights(self) -> dict[int, int]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(bots.c.bot_id, bots.c.weight).where(bots.c.weight != 1))
            return {row.bot_id: row.weight for row in rows}

    async def pause(self, bot_id: int, *, paused: bool, by: PausedBy = PausedBy.OPERATOR) -> bool:
        return await self._database.write_alone(lambda connection: _pause(connection, bot_id, paused=paused, by=by))


def _open_counts() -> Select[Any]:
    of_throttled = attempts.c.message_id == messages.c.id, attempts.c.outcome == THROTTLED  # which spends no attempt
    # Not EXISTS: for that, PostgreSQL reads all attempts of the last weeks.
    throttled = select(attempts.c.id).where(*of_throttled).limit(1).scalar_subquery()
    was_tried = (messages.c.attempt > 0) | throttled.is_not(None)
    is_retry = (messages.c.status == Status.QUEUED.value) & was_tried
    each = select(messages.c.priority, is_retry.label("is_retry")).where(MESSAGE_IS_OPEN).subquery()
    return select(each, func.count().label("messages")).group_by(each.c.priority, each.c.is_retry)


OPEN_COUNTS = _open_counts()


def open_page(query: Select[Any], *, after_id: str, limit: int, bot_id: int | None) -> Select[Any]:
    """Restrict a query to a page of what is queued, of all bots or of one, in the order of its ids.

    The bot is compared so that no index by bots fits: by that one, SQLite would read all that the bot has ever sent
    and sort it, for each page. With 60,000 waiting, a page of 1,000 took 26 ms instead of 2.
    """
    page = query.where(MESSAGE_IS_OPEN, messages.c.id > after_id, messages.c.status == Status.QUEUED.value)
    if bot_id is not None:
        page = page.where(messages.c.bot_id + 0 == bot_id)
    return page.order_by(messages.c.id).limit(limit)


def _settle_interrupted(connection: Connection, now_ms: int, longer_than_ms: int) -> int:
    is_sending = MESSAGE_IS_OPEN, messages.c.status == Status.SENDING.value
    set_back.follow_own_clock(connection)
    since_ms = func.coalesce(messages.c.sending_since_ms, 0)
    is_long_ago = since_ms <= database_now_ms(connection) - longer_than_ms if longer_than_ms else true()
    interrupted = connection.execute(select(messages).where(*is_sending, is_long_ago)).all()
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
        fault=Fault(code=None, reason="interrupted while it was being sent"),
        is_paid=row.is_paid,
    )


def _pause(connection: Connection, bot_id: int, *, paused: bool, by: PausedBy) -> bool:
    may_change = {
        PausedBy.OPERATOR: true(),
        PausedBy.TOKEN: bots.c.paused.is_(False) if paused else bots.c.paused_by == PausedBy.TOKEN.value,
    }
    state = {"paused": paused, "paused_by": by.value if paused else None}
    if by is PausedBy.TOKEN and not paused:  # nothing to resume, if there is no row
        return (
            connection.execute(update(bots).where(bots.c.bot_id == bot_id, may_change[by]).values(state)).rowcount == 1
        )
    write = insert_by(bots, connection).values(bot_id=bot_id, **state)
    change = write.on_conflict_do_update(index_elements=[bots.c.bot_id], set_=state, where=may_change[by])
    return connection.execute(change).rowcount == 1
