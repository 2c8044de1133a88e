"""Stores the outcomes of messages, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, delete, insert, select, update
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import OPEN, PastSend, Rest, Status
from tempogram.engine.ports.ledger import Fault, Record
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import database_now_ms
from tempogram.storage.database.models import IS_PAST_REPLAY, PRESUMED, attempts, messages, payloads
from tempogram.storage.files import writes as file_writes
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger import chats as chat_writes
from tempogram.storage.ledger import holds as hold_writes

REPLAYABLE = (*OPEN, Status.DEAD)
"""Messages of these statuses keep their payload and their files."""


def record(connection: Connection, records: Sequence[Record]) -> list[None]:
    """Update messages, insert their attempts, delete payloads that will not be sent, and store holds and chats."""
    for each in records:
        if each.rest is not None:
            _keep_rest(connection, each.message_id, each.rest)
        if each.item_ids:
            _keep_item_ids(connection, each.message_id, each.item_ids)
    for wave in _waves(records):
        UPDATE_MESSAGES.run(connection, [_state(each) for each in wave])
    INSERT_ATTEMPTS.run(connection, [_attempt(each) for each in records if each.outcome is not None])
    ended = [each.message_id for each in records if each.status not in REPLAYABLE]
    DROP_PAYLOADS.run(connection, [(message_id,) for message_id in ended])
    holds = [hold_writes.BegunHold(each.hold, each.recorded_at_ms) for each in records if each.hold is not None]
    hold_writes.hold(connection, holds)
    _learn_of_chats(connection, records)
    file_writes.release_bytes(connection, ended)
    return [None] * len(records)


def mark_sending(connection: Connection, message_ids: Sequence[str]) -> list[None]:
    is_queued = messages.c.status == Status.QUEUED.value
    state = {"status": Status.SENDING.value, "sending_since_ms": database_now_ms(connection)}
    connection.execute(update(messages).where(messages.c.id.in_(message_ids), is_queued).values(state))
    return [None] * len(message_ids)


def end_many(connection: Connection, message_ids: Sequence[str], status: Status, fault: Fault, now_ms: int) -> None:
    """End open messages, all in the same way; what they would have sent goes with them, unless they can be replayed.

    A statement made anew for each call would leave a cycle with all these ids to the garbage collector, and between
    them no memory returns.
    """
    END_MESSAGES.run(connection, [(message_id, status.value, now_ms, fault.reason) for message_id in message_ids])
    if status not in REPLAYABLE:
        DROP_PAYLOADS.run(connection, [(message_id,) for message_id in message_ids])
        file_writes.release_bytes(connection, message_ids)


def cancel(connection: Connection, message_id: str, now_ms: int) -> bool:
    """End a queued message; what it would have sent goes with it."""
    is_queued = messages.c.id == message_id, messages.c.status == Status.QUEUED.value
    cancelled = {"status": Status.CANCELLED.value, "settled_at_ms": now_ms}
    if connection.execute(update(messages).where(*is_queued).values(cancelled)).rowcount == 0:
        status = connection.execute(select(messages.c.status).where(messages.c.id == message_id)).scalar()
        return bool(status == Status.CANCELLED.value)
    connection.execute(delete(payloads).where(payloads.c.message_id == message_id))
    file_writes.release_bytes(connection, [message_id])
    return True


def presume(connection: Connection, sends: Sequence[PastSend]) -> list[None]:
    """Insert calls that may have been made, as attempts of no message."""
    INSERT_ATTEMPTS.run(connection, [_presumed(each) for each in sends])
    return [None] * len(sends)


def _keep_rest(connection: Connection, message_id: str, rest: Rest) -> None:
    """Reduce an open message to its rest; one that has ended stays as it is."""
    is_open = messages.c.id == message_id, messages.c.settled_at_ms.is_(None)
    change = update(messages).where(*is_open).values(method=rest.method, cost=rest.cost)
    if connection.execute(change).rowcount:
        connection.execute(update(payloads).where(payloads.c.message_id == message_id).values(params=rest.params))


def _keep_item_ids(connection: Connection, message_id: str, item_ids: Sequence[int]) -> None:
    is_open = messages.c.id == message_id, messages.c.settled_at_ms.is_(None)
    connection.execute(update(messages).where(*is_open).values(item_ids=list(item_ids)))


def _waves(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Split so that no message is twice in one statement, which would store only one of its records."""
    if len({each.message_id for each in records}) == len(records):
        yield records
    else:
        yield from ([each] for each in records)


def _learn_of_chats(connection: Connection, records: Sequence[Record]) -> None:
    chat_writes.note_sent(connection, records)
    for each in records:
        if each.chat_id is not None and each.unreachable is not None:
            chat_writes.mark_unreachable(connection, each.bot_id, each.conversation or each.chat_id, each.unreachable)
        if each.chat_id is not None and each.migrated_to is not None:
            chat_writes.move(connection, each.bot_id, each.chat_id, each.migrated_to, each.recorded_at_ms)


def _state(each: Record) -> tuple[Any, ...]:
    return (
        each.message_id,
        each.status.value,
        each.attempt,
        each.ready_at_ms,
        None if each.status in OPEN else each.recorded_at_ms,
        each.telegram_message_id,
        each.fault.reason if each.fault else None,
    )


def _attempt(each: Record) -> tuple[Any, ...]:
    return (
        each.message_id,
        each.bot_id,
        chat_ids.to_text(each.chat_id),
        each.cost,
        each.attempt,
        each.outcome,
        each.started_at_ms,
        each.counted_at_ms,
        each.recorded_at_ms,
        each.fault.code if each.fault else None,
        each.fault.reason if each.fault else None,
        each.delivered_items,
        each.is_paid,
    )


def _presumed(each: PastSend) -> tuple[Any, ...]:
    chat_id, at_ms = chat_ids.to_text(each.chat_id), each.counted_at_ms
    return PRESUMED, each.bot_id, chat_id, each.cost, 0, "presumed", None, at_ms, at_ms, None, None, None, each.is_paid


_STATE = (
    messages.c.id,
    messages.c.status,
    messages.c.attempt,
    messages.c.ready_at_ms,
    messages.c.settled_at_ms,
    messages.c.telegram_message_id,
    messages.c.reason,
)

_END = messages.c.id, messages.c.status, messages.c.settled_at_ms, messages.c.reason

_ATTEMPT = (
    attempts.c.message_id,
    attempts.c.bot_id,
    attempts.c.chat_id,
    attempts.c.cost,
    attempts.c.attempt,
    attempts.c.outcome,
    attempts.c.started_at_ms,
    attempts.c.counted_at_ms,
    attempts.c.recorded_at_ms,
    attempts.c.code,
    attempts.c.reason,
    attempts.c.delivered_items,
    attempts.c.is_paid,
)


def _updating(columns: Sequence[Column[Any]]) -> Callable[[str, Binds], ClauseElement]:
    """Return what builds an update of open messages, in which each row has an id and what the message became."""

    def build(_dialect: str, rows: Binds) -> ClauseElement:
        became = as_table("became", columns, rows)
        # A late record changes no message that has ended. Checked by the time (``settled_has_time``), not by the
        # status: for that PostgreSQL would choose the index of all open messages, and read it from end to end.
        is_open = messages.c.settled_at_ms.is_(None)
        changes = {each.name: became.c[each.name] for each in columns if each.name != "id"}
        return update(messages).where(messages.c.id == became.c.id, is_open).values(changes)

    return build


def _insert_attempts(_dialect: str, rows: Binds) -> ClauseElement:
    return insert(attempts).values(as_dicts(_ATTEMPT, rows)).inline()


def _drop_payloads(_dialect: str, rows: Binds) -> ClauseElement:
    # Checked on the message itself: a late record of a dead one has changed nothing, and must delete nothing.
    settled = select(messages.c.id).where(messages.c.id.in_([row[0] for row in rows]), IS_PAST_REPLAY)
    return delete(payloads).where(payloads.c.message_id.in_(settled))


UPDATE_MESSAGES = BulkStatement(_STATE, _updating(_STATE))
END_MESSAGES = BulkStatement(_END, _updating(_END))
INSERT_ATTEMPTS = BulkStatement(_ATTEMPT, _insert_attempts)
DROP_PAYLOADS = BulkStatement((messages.c.id,), _drop_payloads)
