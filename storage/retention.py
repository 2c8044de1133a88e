"""Deletes what is older than its retention period, in small commits, so that other writes do not wait long.

    messages    with all that is theirs  ``RETENTION_DAYS`` after they ended, dead letters ``RETENTION_DEAD_DAYS``
    updates     once they are handled    after ``UPDATES_MS``
    holds       that are over            at once
    texts                                after the time of ``LLM_KEEP_TEXTS``
    referrals   of what has ended        an hour after they were written
    attempts    that were only presumed  after ``PRESUMED_MS``; see ``engine.recovery.rebuild``
    call_uses   of services              once no window is so long
    fsm_states  that are cleared         once the update that cleared them is handled
    watches     what was observed        after ``OBSERVATIONS_MS``; items that no chat watches after ``UNWATCHED_MS``
    broadcast_recipients, and its files  ``BROADCASTS_MS`` after the end of their broadcast, whose counts stay
    alerts      that ended, and notices  ``ALERTS_MS`` after their end; sightings an hour after they were written
    api_sessions, login_links            ``LOG_INS_MS`` after they expired
    audit                                after ``AUDIT_DAYS``
    campaign_claims                      ``CLAIMS_MS`` after their local date has ended

Open messages stay, however old, and so do bots and chats. A message's ``dedup_key`` is deleted
with it: within retention the same key is accepted once, and later as a new message. A ``file_id``
is deleted with the last message that has the file: within retention it is uploaded once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import ColumnElement, Connection, Delete, Select, Table, and_, delete, exists, func, or_, select, tuple_

from tempogram.engine.model.ids import earliest
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Clock
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import (
    IS_CLEARED,
    IS_RECEIVED,
    PRESUMED,
    alert_notices,
    alert_sightings,
    alerts,
    api_sessions,
    attempts,
    audit,
    broadcast_recipients,
    broadcasts,
    call_uses,
    campaign_claims,
    fsm_states,
    handles,
    holds,
    login_links,
    messages,
    payloads,
    referrals,
    texts,
    updates,
    watch_items,
    watch_notices,
    watch_observations,
    watch_subscriptions,
)
from tempogram.storage.files import writes as file_writes

log = structlog.get_logger()

HOUR_MS = 3_600_000

UPDATES_MS = 48 * HOUR_MS
"""Telegram repeats an update for up to 24 h: https://core.telegram.org/bots/api#setwebhook"""

PRESUMED_MS = 24 * HOUR_MS
"""Longer than any window."""

CALL_USES_MS = 31 * 24 * HOUR_MS
"""The longest window of a service; see ``engine.services.limit``."""

ALERTS_MS = 30 * 24 * HOUR_MS

BROADCASTS_MS = 30 * 24 * HOUR_MS
CLAIMS_MS = 7 * 24 * HOUR_MS
"""Nothing reads them once no clock shows their date any more; this leaves time to look at them."""
OBSERVATIONS_MS = 90 * 24 * HOUR_MS

LOG_INS_MS = 24 * HOUR_MS

UNWATCHED_MS = 7 * 24 * HOUR_MS

PAUSE_S = 0.1
"""Between two commits. Untuned: it leaves nine tenths of the time to other writes."""

ROWS_MAX = 1_000
"""Deleted in one commit."""

MESSAGES_MAX = 300
"""Read in one page: with payloads and attempts about ``ROWS_MAX`` rows."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long each is kept; None: for ever."""

    messages_ms: int | None
    dead_ms: int | None
    texts_ms: int
    audit_ms: int | None = None


class Retention:
    """Deletes old rows; a task calls it once an hour."""

    def __init__(
        self, database: Database, *, keep: RetentionPeriods, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock
        self._sleep = sleep

    async def purge(self) -> dict[str, int]:
        """Delete everything that is older than its retention period, and return how many rows of each table."""
        now_ms = self._clock()
        removed = {"messages": await self._purge_messages(now_ms)}
        for name, statement in purges(now_ms, texts_ms=self._keep.texts_ms).items():
            removed[name] = await self._repeat(statement)
        if self._keep.audit_ms is not None:
            is_old = audit.c.id < earliest(now_ms - self._keep.audit_ms)
            removed["audit"] = await self._repeat(_purge(audit, is_old))
        removed["broadcast_files"] = await self._purge_broadcast_files(now_ms)
        if any(removed.values()):
            log.info("old_rows_deleted", **removed)
        return removed

    async def _purge_messages(self, now_ms: int) -> int:
        settled_before_ms = _before(now_ms, self._keep.messages_ms)
        dead_before_ms = _before(now_ms, self._keep.dead_ms)
        before_id = await self._before_id(now_ms, max(settled_before_ms, dead_before_ms))
        is_old = old_messages(settled_before_ms, dead_before_ms)
        after_id, removed = "", 0
        while page := await self._page(message_page(after_id, before_id, is_old)):
            after_id = page[-1][0]
            if ids := [message_id for message_id, is_due in page if is_due]:
                removed += await self._database.write_alone(
                    lambda connection, ids=ids: _remove_messages(connection, ids, is_old)  # type: ignore[misc]
                )
                await self._sleep(PAUSE_S)
        return removed

    async def _purge_broadcast_files(self, now_ms: int) -> int:
        release = partial(file_writes.release_old, ended_before_ms=now_ms - BROADCASTS_MS, limit=ROWS_MAX)
        removed = 0
        while count := await self._database.write_alone(release):
            removed += count
            await self._sleep(PAUSE_S)
        return removed

    async def _before_id(self, now_ms: int, before_ms: int) -> str:
        """Return the id up to which to read: messages submitted later cannot be old.

        Ids continue after the highest one. While that is ahead of the clock, because the clock once was, an id does
        not tell when its message was submitted, and all messages are read.
        """
        async with self._database.reading() as connection:
            last_id = (await connection.execute(select(func.max(messages.c.id)))).scalar() or ""
        return earliest(before_ms) if last_id < earliest(now_ms + 1) else f"{last_id}f"

    async def _page(self, page: Select[str, bool]) -> Sequence[tuple[str, bool]]:
        async with self._database.reading() as connection:
            return [(row[0], row[1]) for row in await connection.execute(page)]

    async def _repeat(self, statement: Delete) -> int:
        removed = 0
        while count := await self._database.write_alone(lambda connection: connection.execute(statement).rowcount):
            removed += count
            await self._sleep(PAUSE_S)
        return removed


def purges(now_ms: int, *, texts_ms: int) -> dict[str, Delete]:
    """Return a statement for every other table that deletes up to ``ROWS_MAX`` rows."""
    is_presumed = attempts.c.message_id == PRESUMED
    by_update = updates.c.bot_id == fsm_states.c.bot_id, updates.c.update_id == fsm_states.c.update_id
    is_cleared = and_(IS_CLEARED, fsm_states.c.update_id >= 0, ~exists().where(*by_update, IS_RECEIVED))
    old_broadcasts = select(broadcasts.c.id).where(broadcasts.c.ended_at_ms < now_ms - BROADCASTS_MS)
    return {
        "updates": _purge(updates, updates.c.handled_at_ms < now_ms - UPDATES_MS),
        "holds": _purge(holds, holds.c.until_ms < now_ms),
        "texts": _purge(texts, texts.c.said_at_ms < now_ms - texts_ms),
        "call_uses": _purge(call_uses, call_uses.c.at_ms < now_ms - CALL_USES_MS),
        "campaign_claims": _purge(campaign_claims, campaign_claims.c.day_ends_ms < now_ms - CLAIMS_MS),
        "api_sessions": _purge(api_sessions, api_sessions.c.expires_at < now_ms - LOG_INS_MS),
        "login_links": _purge(login_links, login_links.c.expires_at_ms < now_ms - LOG_INS_MS),
        "fsm_states": _purge(fsm_states, is_cleared),
        "broadcast_recipients": _purge(broadcast_recipients, broadcast_recipients.c.broadcast_id.in_(old_broadcasts)),
        "alerts": _purge(alerts, _has_ended(alerts, now_ms - ALERTS_MS)),
        "alert_notices": _purge(alert_notices, _has_ended(alert_notices, now_ms - ALERTS_MS)),
        "watch_observations": _purge(watch_observations, watch_observations.c.at_ms < now_ms - OBSERVATIONS_MS),
        "watch_notices": _purge(watch_notices, watch_notices.c.at_ms < now_ms - OBSERVATIONS_MS),
        "watch_items": _purge(watch_items, _is_unwatched(now_ms - UNWATCHED_MS)),
        "alert_sightings": _purge(alert_sightings, alert_sightings.c.at_ms < now_ms - HOUR_MS),
        "referrals": _purge(referrals, and_(referrals.c.message_id < earliest(now_ms - HOUR_MS), ~_is_open(referrals))),
        "presumed": _purge(attempts, and_(is_presumed, attempts.c.counted_at_ms < now_ms - PRESUMED_MS)),
    }


def message_page(after_id: str, before_id: str, is_old: ColumnElement[bool]) -> Select[str, bool]:
    """Select the next messages, by id and so by the time of submission, and whether each is old."""
    of_time = messages.c.id > after_id, messages.c.id < before_id
    return select(messages.c.id, is_old.label("is_old")).where(*of_time).order_by(messages.c.id).limit(MESSAGES_MAX)


def old_messages(settled_before_ms: int, dead_before_ms: int) -> ColumnElement[bool]:
    is_dead, settled = messages.c.status == Status.DEAD.value, messages.c.settled_at_ms
    return and_(
        settled.is_not(None),
        or_(and_(is_dead, settled < dead_before_ms), and_(~is_dead, settled < settled_before_ms)),
    )


def _is_open(table: Table) -> ColumnElement[bool]:
    return exists().where(messages.c.id == table.c.message_id, messages.c.settled_at_ms.is_(None))


def _has_ended(table: Table, before_ms: int) -> ColumnElement[bool]:
    return and_(table.c.ended_at_ms > 0, table.c.ended_at_ms < before_ms)


def _is_unwatched(before_ms: int) -> ColumnElement[bool]:
    of, item = watch_subscriptions.c, watch_items.c
    return and_(item.checked_at_ms < before_ms, ~exists().where(of.source == item.source, of.key == item.key))


def _before(now_ms: int, keep_ms: int | None) -> int:
    return 0 if keep_ms is None else now_ms - keep_ms


def _purge(table: Table, is_old: ColumnElement[bool]) -> Delete:
    key = table.primary_key.columns
    # Checked twice: a row that another process changes meanwhile is checked again, and may stay.
    return delete(table).where(tuple_(*key).in_(select(*key).where(is_old).limit(ROWS_MAX)), is_old)


def _remove_messages(connection: Connection, ids: Sequence[str], is_old: ColumnElement[bool]) -> int:
    # Checked again: a dead letter may have been replayed since the page was read.
    gone = delete(messages).where(messages.c.id.in_(ids), is_old).returning(messages.c.id)
    removed = [row.id for row in connection.execute(gone)]
    connection.execute(delete(attempts).where(attempts.c.message_id.in_(removed)))
    connection.execute(delete(payloads).where(payloads.c.message_id.in_(removed)))
    connection.execute(delete(handles).where(handles.c.message_id.in_(removed)))
    file_writes.forget(connection, removed)
    return len(removed)
