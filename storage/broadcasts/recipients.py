"""The rows of recipients: each waits, has a message under way, or has an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.broadcasts import FAILED, OF_STATUS, Addressee, Broadcast, BroadcastState, Outcome
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.broadcast_store import OPTED_OUT, PAUSED
from tempogram.storage.chat_facts import quiet_hours_of
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import (
    HAS_FAILED,
    IS_ACTIVE,
    IS_UNDER_WAY,
    IS_WAITING,
    broadcast_recipients,
    broadcasts,
    campaign_claims,
    chats,
    messages,
)
from tempogram.storage.files import writes as file_writes
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger.record import DROP_PAYLOADS

rows = broadcast_recipients.c

GATHERED, OLDER = chats.alias("gathered"), chats.alias("older")
"""A recipient's chat under the id under which it was gathered, and under those that it had before."""

TWINS = broadcast_recipients.alias("twins")

_OF_CHAT = (
    chats.c.reachable,
    chats.c.title,
    chats.c.language,
    chats.c.time_zone,
    chats.c.quiet_from,
    chats.c.quiet_until,
    chats.c.opted_out_at_ms,
)

TRIED_AGAIN = "its broadcast tried again"
"""The reason of a dead letter after a retry."""

HAS_MESSAGE = and_(IS_UNDER_WAY, rows.message_id > "")
"""A message that has not ended, in the form in which SQLite uses its index."""


def is_of(broadcast: Broadcast) -> ColumnElement[bool]:
    return rows.broadcast_id == broadcast.id


def is_under_way(broadcast: Broadcast) -> ColumnElement[bool]:
    return and_(is_of(broadcast), HAS_MESSAGE)


def count_under_way(broadcast_ids: Sequence[int]) -> Select[Any]:
    is_meant = rows.broadcast_id.in_(broadcast_ids), HAS_MESSAGE
    return select(rows.broadcast_id, func.count()).where(*is_meant).group_by(rows.broadcast_id)


def last_due(broadcast_ids: Sequence[int]) -> Select[Any]:
    """Select it for each by itself: so it is the last entry of an index, and not one of all that wait."""
    last = select(func.max(rows.due_at_ms)).where(rows.broadcast_id == broadcasts.c.id, IS_WAITING)
    of_each = select(broadcasts.c.id, func.coalesce(last.correlate(broadcasts).scalar_subquery(), 0))
    return of_each.where(broadcasts.c.id.in_(broadcast_ids))


def totals(limit: int) -> Select[Any]:
    """Select the sums over the broadcasts that run."""
    is_running = IS_ACTIVE, broadcasts.c.state == BroadcastState.RUNNING.value
    summed = ("recipients", *(each.value for each in Outcome))
    first = select(func.min(rows.due_at_ms)).where(rows.broadcast_id == broadcasts.c.id, IS_WAITING)
    next_due = first.correlate(broadcasts).scalar_subquery().label("next_due_ms")
    counted = (broadcasts.c[name] for name in summed)
    running = select(*counted, next_due).where(*is_running).order_by(broadcasts.c.id).limit(limit).subquery("running")
    sums = (func.coalesce(func.sum(running.c[name]), 0).label(name) for name in summed)
    return select(func.count().label("running"), *sums, func.min(running.c.next_due_ms).label("next_due_ms"))


def gather(connection: Connection, *, broadcast: Broadcast, due: Mapping[ChatId, int], to: str) -> None:
    """Insert recipients, unless another process has gone on from the same place."""
    is_here = broadcasts.c.id == broadcast.id, broadcasts.c.gathered_to == broadcast.gathered_to
    of_page = [(broadcast.id, str(chat_id), at_ms) for chat_id, at_ms in due.items()]
    goes_on = update(broadcasts).where(*is_here, ~broadcasts.c.is_gathered)
    moved = {"gathered_to": to, "is_gathered": not due, "recipients": broadcasts.c.recipients + len(due)}
    if connection.execute(goes_on.values(moved)).rowcount:
        INSERT_RECIPIENTS.run(connection, of_page)


def due(broadcast: Broadcast, now_ms: int) -> Select[Any]:
    of_row = and_(GATHERED.c.bot_id == broadcast.bot_id, GATHERED.c.chat_id == rows.chat_id)
    name = func.coalesce(GATHERED.c.alias_of, GATHERED.c.chat_id)
    of_chat = and_(chats.c.bot_id == broadcast.bot_id, chats.c.chat_id == name)
    return (
        select(
            rows.chat_id,
            rows.round,
            GATHERED.c.alias_of,
            _is_twin(broadcast).label("is_twin"),
            _claimed_on(broadcast).label("claimed_on"),
            *_OF_CHAT,
        )
        .outerjoin(GATHERED, of_row)
        .outerjoin(chats, of_chat)
        .where(is_of(broadcast), IS_WAITING, rows.due_at_ms <= now_ms)
        .order_by(rows.due_at_ms, rows.chat_id)
    )


def addressee(row: Row[Any]) -> Addressee:
    return Addressee(
        chat_id=chat_ids.required(row.chat_id),
        round=row.round,
        moved_to=chat_ids.from_text(row.alias_of),
        is_twin=row.is_twin,
        title=row.title,
        language=row.language,
        zone=row.time_zone,
        quiet_hours=quiet_hours_of(row),
        has_opted_out=row.opted_out_at_ms is not None,
        is_reachable=row.reachable is not False,
        claimed_on=row.claimed_on,
    )


def note(connection: Connection, *, broadcast: Broadcast, message_ids: Mapping[Addressee, str]) -> None:
    NOTE_MESSAGES.run(connection, [(*_key(broadcast, each), message_id) for each, message_id in message_ids.items()])


def end_waiting(connection: Connection, *, broadcast: Broadcast, ended: Mapping[Outcome, Sequence[Addressee]]) -> None:
    for outcome, addressees in ended.items():
        still_wait = update(broadcast_recipients).where(*_still_wait(broadcast, addressees))
        changed = connection.execute(still_wait.values(outcome=outcome.value)).rowcount
        _count(connection, broadcast, outcome, changed)


def drop(connection: Connection, *, broadcast: Broadcast, twins: Sequence[Addressee]) -> None:
    dropped = connection.execute(delete(broadcast_recipients).where(*_still_wait(broadcast, twins))).rowcount
    fewer = {"recipients": broadcasts.c.recipients - dropped}
    connection.execute(update(broadcasts).where(broadcasts.c.id == broadcast.id).values(fewer))


def postpone(connection: Connection, *, broadcast: Broadcast, due_ms: Mapping[Addressee, int]) -> None:
    POSTPONE.run(connection, [(*_key(broadcast, each), at_ms) for each, at_ms in due_ms.items()])


def ended(broadcast: Broadcast) -> Select[Any]:
    """Select recipients whose messages have ended; of one that was deleted meanwhile that is all that is known."""
    has_ended = or_(messages.c.id.is_(None), messages.c.settled_at_ms.is_not(None))
    of_message = messages.c.id == rows.message_id
    return (
        select(rows.message_id, messages.c.status, messages.c.reason)
        .outerjoin(messages, of_message)
        .where(is_under_way(broadcast), has_ended)
    )


def settle(connection: Connection, *, broadcast: Broadcast, found: Sequence[Row[Any]]) -> None:
    by_outcome: dict[Outcome | None, list[str]] = {}
    for row in found:
        by_outcome.setdefault(_outcome(row), []).append(row.message_id)
    for outcome, message_ids in by_outcome.items():
        of_messages = is_of(broadcast), IS_UNDER_WAY, rows.message_id.in_(message_ids)
        if outcome is None:
            _wait_again(connection, *of_messages)
        else:
            ended = update(broadcast_recipients).where(*of_messages).values(outcome=outcome.value)
            _count(connection, broadcast, outcome, connection.execute(ended).rowcount)


def set_back(connection: Connection, *, broadcast: Broadcast, limit: int) -> int:
    """Let recipients that failed wait again, page by page; the last page ends the retry."""
    is_asked_for = broadcasts.c.id == broadcast.id, broadcasts.c.is_retrying
    if not connection.execute(update(broadcasts).where(*is_asked_for).values(is_retrying=true())).rowcount:
        return 0  # another process has ended it
    # With the comparison, SQLite uses the index; without it, it reads all recipients of the broadcast.
    is_next = is_of(broadcast), HAS_FAILED, rows.outcome > "", ~_was_replayed()
    found = connection.execute(select(rows.chat_id, rows.message_id, rows.outcome).where(*is_next).limit(limit)).all()
    if not found:
        connection.execute(update(broadcasts).where(*is_asked_for).values(is_retrying=false()))
        return 0
    _end_letters(connection, [row.message_id for row in found if row.message_id is not None])
    for outcome in FAILED:
        names = [row.chat_id for row in found if row.outcome == outcome.value]
        has_failed = is_of(broadcast), HAS_FAILED, rows.chat_id.in_(names), ~_was_replayed()
        _count(connection, broadcast, outcome, -_wait_again(connection, *has_failed))
    return len(found)


def _end_letters(connection: Connection, message_ids: Sequence[str]) -> None:
    """End dead letters for good, unless one was replayed meanwhile."""
    is_letter = messages.c.id.in_(message_ids), messages.c.status == Status.DEAD.value
    ended = {"status": Status.CANCELLED.value, "reason": TRIED_AGAIN}
    connection.execute(update(messages).where(*is_letter).values(ended))
    DROP_PAYLOADS.run(connection, [(each,) for each in message_ids])
    file_writes.release_bytes(connection, message_ids)


def _outcome(row: Row[Any]) -> Outcome | None:
    """Return what a message's end means for its recipient; None: it waits again."""
    if row.status is None:
        return Outcome.UNCERTAIN  # deleted before it was settled here: it may have arrived
    if row.reason == OPTED_OUT:
        return Outcome.OPTED_OUT
    return None if row.reason == PAUSED else OF_STATUS[Status(row.status)]


def _was_replayed() -> ColumnElement[bool]:
    """Tell whether a dead letter was replayed: it waits, or has ended otherwise by now."""
    lives = messages.c.status.not_in([Status.DEAD.value, Status.EXPIRED.value])
    is_ours = func.coalesce(messages.c.reason, "") == TRIED_AGAIN
    return exists().where(messages.c.id == rows.message_id, lives, ~is_ours)


def _wait_again(connection: Connection, *when: Any) -> int:
    """Let recipients wait. Those that had no message stay in their round, whose key is still to be had."""
    next_round = rows.round + case((rows.message_id.is_(None), 0), else_=1)
    again = update(broadcast_recipients).where(*when).values(message_id=None, outcome=None, round=next_round)
    return connection.execute(again).rowcount


def _still_wait(broadcast: Broadcast, addressees: Sequence[Addressee]) -> tuple[Any, ...]:
    """Return the conditions for those of some recipients that wait in the round in which they were read."""
    in_round = [(str(each.chat_id), each.round) for each in addressees]
    names = [name for name, _ in in_round]
    return is_of(broadcast), IS_WAITING, rows.chat_id.in_(names), tuple_(rows.chat_id, rows.round).in_(in_round)


def _claimed_on(broadcast: Broadcast) -> ColumnElement[Any]:
    if broadcast.plan.daily_cap is None:
        return null()
    claims = campaign_claims.c
    of_chat = claims.bot_id == broadcast.bot_id, claims.chat_id == chats.c.chat_id, claims.campaign == broadcast.tag
    return select(func.max(claims.local_date)).where(*of_chat).correlate(chats).scalar_subquery()


def _is_twin(broadcast: Broadcast) -> ColumnElement[bool]:
    """Tell whether a recipient's chat has another row: under its new id, or one with a message under an older id."""
    of_broadcast = TWINS.c.broadcast_id == broadcast.id
    under_new = exists().where(of_broadcast, TWINS.c.chat_id == GATHERED.c.alias_of)
    is_older = OLDER.c.bot_id == broadcast.bot_id, OLDER.c.alias_of == rows.chat_id, OLDER.c.alias_of.is_not(None)
    is_begun = or_(TWINS.c.message_id.is_not(None), TWINS.c.outcome.is_not(None))
    under_older = exists().where(*is_older, of_broadcast, TWINS.c.chat_id == OLDER.c.chat_id, is_begun)
    return or_(under_new, under_older)


def _key(broadcast: Broadcast, addressee: Addressee) -> tuple[int, str, int]:
    return broadcast.id, str(addressee.chat_id), addressee.round


def _count(connection: Connection, broadcast: Broadcast, outcome: Outcome, by: int) -> None:
    if by:
        counter = broadcasts.c[outcome.value]
        connection.execute(update(broadcasts).where(broadcasts.c.id == broadcast.id).values({counter: counter + by}))


_RECIPIENT = rows.broadcast_id, rows.chat_id, rows.due_at_ms


def _insert(dialect: str, binds: Binds) -> ClauseElement:
    return insert_into(broadcast_recipients, dialect).values(as_dicts(_RECIPIENT, binds))


def _of_waiting(changed: Column[Any]) -> BulkStatement:
    """Return the statement that changes a column of recipients that still wait in a round."""
    columns = rows.broadcast_id, rows.chat_id, rows.round, changed

    def build(_dialect: str, binds: Binds) -> ClauseElement:
        noted = as_table("noted", columns, binds)
        is_meant = (rows[name] == noted.c[name] for name in ("broadcast_id", "chat_id", "round"))
        # Not ``IS_WAITING``, as ``noted`` may have these columns, too.
        is_waiting = rows.message_id.is_(None), rows.outcome.is_(None)
        values = {changed.name: noted.c[changed.name]}
        return update(broadcast_recipients).where(*is_meant, *is_waiting).values(values)

    return BulkStatement(columns, build)


INSERT_RECIPIENTS = BulkStatement(_RECIPIENT, _insert)
NOTE_MESSAGES = _of_waiting(rows.message_id)
POSTPONE = _of_waiting(rows.due_at_ms)
