"""What chats are to be notified of: gathered until it is time, then put together into one message for each chat."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, literal, select, true, tuple_, update

from tempogram.engine.model.watches import Digest, Item, ItemChange, Subscriber, Waiting
from tempogram.storage.chat_facts import quiet_hours_of
from tempogram.storage.database.models import chats, watch_notices, watch_observations
from tempogram.storage.ledger import chat_ids

NOTICE = watch_notices.c
IS_GATHERED = NOTICE.digest_at_ms == 0


def waiting_query(now_ms: int, limit: int) -> Select[Any]:
    """Select the chats for which it is time, with what is known of them; bots take turns."""
    known = chats.c.reachable, chats.c.opted_out_at_ms, chats.c.time_zone, chats.c.quiet_from, chats.c.quiet_until
    gathered = (
        select(NOTICE.bot_id, NOTICE.chat_id, *known, func.min(NOTICE.due_at_ms).label("first_ms"))
        .join(chats, and_(chats.c.bot_id == NOTICE.bot_id, chats.c.chat_id == NOTICE.chat_id), isouter=True)
        .where(IS_GATHERED, NOTICE.due_at_ms <= now_ms)
        .group_by(NOTICE.bot_id, NOTICE.chat_id, *known)
        .cte("gathered")
        .prefix_with("MATERIALIZED", dialect="postgresql")  # else it reads all notices, in the order of their bots
    )
    of = gathered.c
    turn = func.row_number().over(partition_by=of.bot_id, order_by=(of.first_ms, of.chat_id))
    return select(gathered).order_by(turn, of.first_ms, of.bot_id).limit(limit)


def waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        to=_subscriber(row),
        may_be_written=row.reachable is not False and row.opted_out_at_ms is None,
        zone=row.time_zone,
        quiet=quiet_hours_of(row),
    )


def put_together(connection: Connection, to: Sequence[Subscriber], now_ms: int) -> None:
    connection.execute(update(watch_notices).where(IS_GATHERED, _is_of(to)).values(digest_at_ms=now_ms))


def defer(connection: Connection, to: Sequence[Subscriber], until_ms: int) -> None:
    is_earlier = NOTICE.due_at_ms < until_ms
    connection.execute(update(watch_notices).where(IS_GATHERED, _is_of(to), is_earlier).values(due_at_ms=until_ms))


def drop(connection: Connection, to: Sequence[Subscriber]) -> int:
    return connection.execute(delete(watch_notices).where(IS_GATHERED, _is_of(to))).rowcount


def forget(connection: Connection, digests: Sequence[Digest]) -> None:
    names = [(each.to.bot_id, str(each.to.chat_id), each.at_ms) for each in digests]
    connection.execute(
        delete(watch_notices).where(tuple_(NOTICE.bot_id, NOTICE.chat_id, NOTICE.digest_at_ms).in_(names))
    )


def digests_query(after: Digest | None, without: Collection[int], limit: int) -> Select[Any]:
    """Select the changes of the oldest digests behind another, but for those of some bots.

    Of each item it is what was before its first change, and is after its last.
    """
    name = NOTICE.digest_at_ms, NOTICE.bot_id, NOTICE.chat_id
    oldest = (
        select(*name)
        .where(NOTICE.digest_at_ms > 0, _is_behind(after), NOTICE.bot_id.not_in(sorted(without)))
        .distinct()
        .order_by(*name)
        .limit(limit)
        .subquery()
    )
    ends = (
        select(
            *name,
            NOTICE.source,
            NOTICE.key,
            func.min(NOTICE.at_ms).label("first"),
            func.max(NOTICE.at_ms).label("last"),
        )
        .join(oldest, and_(*(oldest.c[column.name] == column for column in name)))
        .group_by(*name, NOTICE.source, NOTICE.key)
        .subquery()
    )
    first, last = watch_observations.alias(), watch_observations.alias()
    of = ends.c

    def is_of(observation: Any, at_ms: ColumnElement[int]) -> ColumnElement[bool]:
        seen = observation.c
        return and_(seen.source == of.source, seen.key == of.key, seen.at_ms == at_ms)

    return (
        select(of.digest_at_ms, of.bot_id, of.chat_id, of.source, of.key, first.c.before, last.c.fields)
        .join(first, is_of(first, of.first), isouter=True)
        .join(last, is_of(last, of.last), isouter=True)
        .order_by(of.digest_at_ms, of.bot_id, of.chat_id, of.source, of.key)
    )


def digests(rows: Sequence[Row[Any]]) -> list[Digest]:
    by_name = groupby(rows, key=lambda row: (row.digest_at_ms, row.bot_id, row.chat_id))
    return [_digest(list(of)) for _, of in by_name]


def _digest(rows: Sequence[Row[Any]]) -> Digest:
    changes = tuple(
        ItemChange(item=Item(row.source, row.key), before=row.before or {}, after=row.fields or {}) for row in rows
    )
    return Digest(to=_subscriber(rows[0]), at_ms=rows[0].digest_at_ms, changes=changes)


def _subscriber(row: Row[Any]) -> Subscriber:
    return Subscriber(row.bot_id, chat_ids.required(row.chat_id))


def _is_behind(digest: Digest | None) -> ColumnElement[bool]:
    if digest is None:
        return true()
    last = digest.at_ms, digest.to.bot_id, str(digest.to.chat_id)
    return tuple_(NOTICE.digest_at_ms, NOTICE.bot_id, NOTICE.chat_id) > tuple_(*map(literal, last))


def _is_of(to: Sequence[Subscriber]) -> ColumnElement[bool]:
    return tuple_(NOTICE.bot_id, NOTICE.chat_id).in_([(each.bot_id, str(each.chat_id)) for each in to])
