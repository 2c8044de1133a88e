"""The history of messages in both directions, and the dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, literal_column, select, text, update
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.messages import ChatId, Guarantee, Outgoing, Priority, Status
from tempogram.storage import lookups
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import IS_DEAD, attempts, messages, payloads
from tempogram.storage.files import writes as file_writes
from tempogram.storage.files.uploads import StoredFile, files_of
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger import chats as chat_writes
from tempogram.storage.ledger.rows import BY_CALL, outgoing, with_payloads

PAGE = 1_000
"""Messages deleted or replayed in one transaction, so that other writes do not wait long behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """One call. ``number`` counts all calls from 1; ``attempt`` counts only spent attempts."""

    number: int
    attempt: int
    outcome: str
    started_at_ms: int | None
    counted_at_ms: int | None
    recorded_at_ms: int
    code: int | None
    reason: str | None
    delivered_items: int | None = None


class Direction(StrEnum):
    """Whether a message was received or sent."""

    IN = "in"
    OUT = "out"


RECEIVED = "received"
"""The only status of an incoming message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message from a user to a bot. ``id`` is ours, made as for an outgoing one."""

    id: str
    bot_id: int
    chat_id: ChatId
    update_id: int
    telegram_message_id: int
    received_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a chat, in either direction. ``status`` is ``received`` for an incoming one."""

    id: str
    bot_id: int
    chat_id: ChatId
    direction: Direction
    method: str
    status: str
    submitted_at_ms: int
    telegram_message_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageState:
    """The state of an outgoing message, without its content."""

    id: str
    bot_id: int
    chat_id: ChatId | None
    method: str
    priority: Priority
    cost: int
    status: Status
    guarantee: Guarantee
    dedup_key: str | None
    attempt: int
    submitted_at_ms: int
    ready_at_ms: int
    expires_at_ms: int | None
    settled_at_ms: int | None
    telegram_message_id: int | None
    reason: str | None
    tag: str | None = None
    attempts: tuple[AttemptState, ...] = ()
    files: tuple[StoredFile, ...] = ()


class MessageHistory:
    """The repository of messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def message(self, message_id: str) -> MessageState | None:
        """Return one message with its attempts, oldest first, and its files."""
        is_meant = messages.c.id == message_id, IS_OUTGOING
        of_message = select(attempts).where(attempts.c.message_id == message_id).order_by(BY_CALL)
        async with self._database.reading() as connection:
            row = (await connection.execute(select(messages).where(*is_meant))).first()
            if row is None:
                return None
            made = await connection.execute(of_message)
            attempts_made = tuple(_attempt(number, each) for number, each in enumerate(made, start=1))
            return _state(row, attempts_made, tuple(await files_of(connection, message_id, row.bot_id)))

    async def note_incoming(self, incoming: Incoming) -> None:
        """Store an incoming message; if its update is handled again, nothing is stored."""
        await self._database.write(_note_incoming, [incoming])

    async def of_number(self, chat_id: ChatId, number: int, *, bot_id: int | None = None) -> list[ChatMessage]:
        """Return the messages that have a number of Telegram's in a chat, oldest first: one, and then its edits.

        Args:
            chat_id: Of a bot also under the other name of a public chat; of all bots only under this one.
            number: Of a message, or of any item of an album.
            bot_id: Only what this bot sent. None: what any bot sent or received in a group or a channel; each bot has
                a message of its own.
        """
        names = [str(chat_id)]
        async with self._database.reading() as connection:
            if bot_id is not None:
                names += (await connection.execute(lookups.other_names(bot_id, names[0]))).scalars()
            rows = await connection.execute(lookups.of_number(names, number, bot_id=bot_id))
            found = [_chat_message(row) for row in rows if number in (row.telegram_message_id, *(row.item_ids or ()))]
        return sorted(found, key=attrgetter("id"))

    async def of_chat(self, bot_id: int, chat_id: ChatId, *, before_id: str | None, limit: int) -> list[ChatMessage]:
        """Return the messages of a chat, newest first; ``before_id`` is the last id of the page before.

        Calls that show none (a deletion) are left out.
        """
        return await self._chat_messages(lookups.of_chat(bot_id, str(chat_id), before_id=before_id, limit=limit))

    async def incoming(
        self, bot_id: int, *, since_ms: int, until_ms: int, after: lookups.After | None, limit: int
    ) -> list[ChatMessage]:
        """Return what a bot received in a time, oldest first; ``after`` is the last message of the page before."""
        return await self._chat_messages(
            lookups.incoming(bot_id, since_ms=since_ms, until_ms=until_ms, after=after, limit=limit)
        )

    async def dead_count(self, bot_id: int | None = None) -> int:
        async with self._database.reading() as connection:
            count = _dead(select(func.count()).select_from(messages), bot_id)
            return int((await connection.execute(count)).scalar_one())

    async def dead(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[MessageState]:
        """Return a page of dead letters by id; ``after_id`` is the last id of the page before, or ''."""
        page = _dead(select(messages), bot_id).where(messages.c.id > after_id).order_by(messages.c.id).limit(limit)
        if tag is not None:
            page = page.where(messages.c.tag == tag)
        async with self._database.reading() as connection:
            return [_state(row) for row in await connection.execute(page)]

    async def replay(self, message_ids: Sequence[str]) -> list[Outgoing]:
        """Queue dead letters again, without spent attempts or expiry; their chats count as reachable again.

        Returns:
            list: The messages to admit, in the order of their ids; without those that are not dead letters.
        """
        chosen = _dead(with_payloads(), None).where(messages.c.id.in_(message_ids))
        return await self._database.write_alone(lambda connection: _replay(connection, chosen))

    async def purge_dead(self, *, message_ids: Sequence[str] | None = None, bot_id: int | None = None) -> int:
        """Delete dead letters (these, all of a bot, or all), and return how many."""
        chosen = _dead(select(messages.c.id), bot_id)
        if message_ids is not None:
            chosen = chosen.where(messages.c.id.in_(message_ids))
        return await self._remove_all(chosen)

    async def _chat_messages(self, page: Select[Any]) -> list[ChatMessage]:
        async with self._database.reading() as connection:
            return [_chat_message(row) for row in await connection.execute(page)]

    async def _remove_all(self, chosen: Select[Any]) -> int:
        removed = 0
        while count := await self._database.write_alone(lambda connection: remove(connection, chosen.limit(PAGE))):
            removed += count
        return removed


IS_OUTGOING = messages.c.direction == "out"


def _note_incoming(connection: Connection, items: Sequence[Incoming]) -> list[None]:
    INSERT_INCOMING.run(connection, [_incoming(each) for each in items])
    return [None] * len(items)


def _incoming(each: Incoming) -> tuple[Any, ...]:
    return (
        each.id,
        each.bot_id,
        chat_ids.to_text(each.chat_id),
        f"incoming:{each.update_id}",
        each.received_at_ms,
        each.received_at_ms,
        each.telegram_message_id,
    )


_INCOMING = (
    messages.c.id,
    messages.c.bot_id,
    messages.c.chat_id,
    messages.c.dedup_key,
    messages.c.submitted_at_ms,
    messages.c.settled_at_ms,
    messages.c.telegram_message_id,
)

_OF_EVERY_INCOMING = {
    "direction": Direction.IN.value,
    "method": "message",
    "priority": Priority.NORMAL.value,
    "cost": 0,
    "status": RECEIVED,
    "guarantee": Guarantee.AT_LEAST_ONCE.value,
    "attempt": 0,
    "ready_at_ms": 0,
}


def _insert_incoming(dialect: str, rows: Binds) -> ClauseElement:
    constants: dict[str, Any] = {name: literal_column(repr(value)) for name, value in _OF_EVERY_INCOMING.items()}
    every = [each | constants for each in as_dicts(_INCOMING, rows)]
    return insert_into(messages, dialect).values(every).on_conflict_do_nothing()


INSERT_INCOMING = BulkStatement(_INCOMING, _insert_incoming)


def _chat_message(row: Row[Any]) -> ChatMessage:
    return ChatMessage(
        id=row.id,
        bot_id=row.bot_id,
        chat_id=chat_ids.required(row.chat_id),
        direction=Direction(row.direction),
        method=row.method,
        status=row.status,
        submitted_at_ms=row.submitted_at_ms,
        telegram_message_id=row.telegram_message_id,
    )


def _dead(query: Select[Any], bot_id: int | None) -> Select[Any]:
    query = query.where(text("messages." + IS_DEAD.text))
    return query if bot_id is None else query.where(messages.c.bot_id == bot_id)


def _replay(connection: Connection, chosen: Select[Any]) -> list[Outgoing]:
    ids = [row.id for row in connection.execute(chosen.order_by(messages.c.id))]
    again = {"status": Status.QUEUED.value, "attempt": 0, "ready_at_ms": 0}
    ended = {"expires_at_ms": None, "settled_at_ms": None, "reason": None}
    connection.execute(update(messages).where(messages.c.id.in_(ids)).values(again | ended))
    replayed = connection.execute(with_payloads().where(messages.c.id.in_(ids)).order_by(messages.c.id)).all()
    replayed_messages = [outgoing(row) for row in replayed]
    chat_writes.mark_reachable(
        connection,
        {
            (row.bot_id, name)
            for row, message in zip(replayed, replayed_messages, strict=True)
            for name in _names(row, message)
        },
    )
    return replayed_messages


def _names(row: Row[Any], message: Outgoing) -> Iterator[str | None]:
    """Give the names under which a message's conversation may be unreachable."""
    conversation = conversation_of(message)
    yield chat_ids.to_text(conversation)
    if conversation == message.chat_id:
        yield row.chat_id  # an older id of the same chat


def remove(connection: Connection, chosen: Select[Any]) -> int:
    """Delete messages with all that is theirs, and return how many."""
    ids = [row.id for row in connection.execute(chosen)]
    connection.execute(delete(attempts).where(attempts.c.message_id.in_(ids)))
    connection.execute(delete(payloads).where(payloads.c.message_id.in_(ids)))
    removed = connection.execute(delete(messages).where(messages.c.id.in_(ids))).rowcount
    file_writes.forget(connection, ids)
    return removed


def _state(row: Row[Any], made: tuple[AttemptState, ...] = (), files: tuple[StoredFile, ...] = ()) -> MessageState:
    return MessageState(
        id=row.id,
        bot_id=row.bot_id,
        chat_id=chat_ids.from_text(row.chat_id),
        method=row.method,
        priority=Priority(row.priority),
        cost=row.cost,
        status=Status(row.status),
        guarantee=Guarantee(row.guarantee),
        dedup_key=row.dedup_key,
        attempt=row.attempt,
        submitted_at_ms=row.submitted_at_ms,
        ready_at_ms=row.ready_at_ms,
        expires_at_ms=row.expires_at_ms,
        settled_at_ms=row.settled_at_ms,
        telegram_message_id=row.telegram_message_id,
        reason=row.reason,
        tag=row.tag,
        attempts=made,
        files=files,
    )


def _attempt(number: int, row: Row[Any]) -> AttemptState:
    return AttemptState(
        number=number,
        attempt=row.attempt,
        outcome=row.outcome,
        started_at_ms=row.started_at_ms,
        counted_at_ms=row.counted_at_ms,
        recorded_at_ms=row.recorded_at_ms,
        code=row.code,
        reason=row.reason,
        delivered_items=row.delivered_items,
    )
