"""Tasks, bots and dead letters that are worth an alert. Each query is short however much else there is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from tempogram.engine.model.messages import PausedBy
from tempogram.engine.ports.alert_store import LongHold, Troubles
from tempogram.engine.ports.task_store import TaskRow
from tempogram.storage.bots import IS_ADDED
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import IS_DEAD, bots, holds, messages, tasks
from tempogram.storage.ledger.holds import WHOLE_BOT

_TASK_COLUMNS = tuple(tasks.c[each.name] for each in fields(TaskRow))


class SqlAlertReadings:
    """See ``engine.ports.alert_store.AlertReadings``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(
        self, now_ms: int, *, tasks_now_ms: int, hold_over_ms: int, dead_since_ms: int, dead_up_to: int
    ) -> Troubles:
        async with self._database.reading() as connection:
            late = [TaskRow(**row._mapping) for row in await connection.execute(late_tasks(tasks_now_ms))]  # noqa: SLF001 - its public name
            refused = [(row[0], row[1]) for row in await connection.execute(_WITHOUT_TOKEN)]
            held = [LongHold(*row) for row in await connection.execute(long_holds(now_ms, hold_over_ms))]
            dead = (await connection.execute(dead_since(dead_since_ms, dead_up_to))).scalar_one()
        return Troubles(tasks=late, bots_without_token=refused, holds=held, dead=int(dead))


def late_tasks(due_before_ms: int) -> Select[Any]:
    is_late = and_(tasks.c.next_due_ms > 0, tasks.c.next_due_ms < due_before_ms)
    of = tasks.c.is_declared, ~tasks.c.is_paused, or_(tasks.c.is_failing, is_late)
    return select(*_TASK_COLUMNS).where(*of).order_by(tasks.c.name)


_IS_REFUSED = bots.c.paused & (bots.c.paused_by == PausedBy.TOKEN.value)

_WITHOUT_TOKEN = (
    select(bots.c.bot_id, bots.c.username)
    .where(IS_ADDED, or_(_IS_REFUSED, bots.c.sealed_token.is_(None)))
    .order_by(bots.c.bot_id)
)


def long_holds(now_ms: int, over_ms: int) -> Select[Any]:
    since = func.coalesce(holds.c.since_ms, now_ms)
    of = holds.c.chat_id == WHOLE_BOT, holds.c.until_ms > now_ms, holds.c.until_ms - since > over_ms
    named = holds.outerjoin(bots, bots.c.bot_id == holds.c.bot_id)
    columns = holds.c.bot_id, func.coalesce(bots.c.username, ""), since, holds.c.until_ms
    return select(*columns).select_from(named).where(*of).order_by(holds.c.bot_id)


def dead_since(at_ms: int, up_to: int) -> Select[Any]:
    recent = select(messages.c.id).where(IS_DEAD, messages.c.settled_at_ms >= at_ms).limit(up_to).subquery()
    return select(func.count()).select_from(recent)
