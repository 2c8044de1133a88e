"""What times mean that a clock has written which was ahead, and was set back since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select, update

from tempogram.engine.model.clock import SET_BACK_MS
from tempogram.engine.model.messages import PARKED_MS, Status
from tempogram.storage.database.dialects import database_now_ms
from tempogram.storage.database.models import attempts, chats, holds, messages
from tempogram.storage.ledger.rows import MESSAGE_IS_OPEN, is_chat_of, real_chat


def follow_clock(connection: Connection, now_ms: int) -> int:
    """See ``Ledger``."""
    ahead_ms = _last_ms(connection) - now_ms
    if ahead_ms < SET_BACK_MS:
        return 0
    began_later = or_(holds.c.since_ms > now_ms, holds.c.since_ms.is_(None))
    connection.execute(
        update(holds)
        .where(holds.c.until_ms > now_ms, began_later)
        .values(until_ms=holds.c.until_ms - ahead_ms, since_ms=now_ms)
    )
    ready_at_ms = messages.c.ready_at_ms
    is_retry = MESSAGE_IS_OPEN, messages.c.attempt > 0, ready_at_ms > now_ms, ready_at_ms < PARKED_MS
    earlier = case((ready_at_ms - ahead_ms > now_ms, ready_at_ms - ahead_ms), else_=now_ms)
    connection.execute(update(messages).where(*is_retry).values(ready_at_ms=earlier))
    return ahead_ms


def follow_own_clock(connection: Connection) -> None:
    """Let calls that begin later by the database's own clock, as that was set back, begin now."""
    now_ms = database_now_ms(connection)
    is_later = MESSAGE_IS_OPEN, messages.c.status == Status.SENDING.value, messages.c.sending_since_ms > now_ms
    connection.execute(update(messages).where(*is_later).values(sending_since_ms=now_ms))


def sends(since_ms: int, now_ms: int) -> Select[Any]:
    """Select what was sent in the past."""
    columns = attempts.c.bot_id, real_chat(attempts), attempts.c.counted_at_ms, attempts.c.cost, attempts.c.is_paid
    is_past = attempts.c.counted_at_ms >= since_ms, attempts.c.counted_at_ms <= now_ms, attempts.c.cost > 0
    return select(*columns).select_from(attempts.outerjoin(chats, is_chat_of(attempts))).where(*is_past)


def sends_ahead(now_ms: int) -> Select[Any]:
    """Select one row for each chat to which something was sent at a time to come."""
    of_chat = attempts.c.bot_id, real_chat(attempts), attempts.c.is_paid
    last_ms, cost = func.max(attempts.c.counted_at_ms), func.sum(attempts.c.cost)
    sent = select(*of_chat, last_ms.label("counted_at_ms"), cost.label("cost"))
    is_ahead = attempts.c.counted_at_ms > now_ms, attempts.c.cost > 0
    return sent.select_from(attempts.outerjoin(chats, is_chat_of(attempts))).where(*is_ahead).group_by(*of_chat)


def _last_ms(connection: Connection) -> int:
    """Return the last time of a call or of a hold that is recorded."""
    newest = select(attempts.c.recorded_at_ms).order_by(attempts.c.id.desc()).limit(1)
    counted = select(func.max(attempts.c.counted_at_ms)).where(attempts.c.counted_at_ms.is_not(None))
    times = counted, newest, select(func.max(holds.c.since_ms))
    return max(connection.execute(each).scalar() or 0 for each in times)
