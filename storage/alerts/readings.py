"""Tasks, bots and dead letters that are worth an alert. Each query is short however much else there is."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import and_, func, or_, select

from tempogram.engine.model.messages import PausedBy
from tempogram.engine.ports.alert_store import LongHold
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

    async def late_tasks(self, due_before_ms: int) -> list[TaskRow]:
        is_late = and_(tasks.c.next_due_ms > 0, tasks.c.next_due_ms < due_before_ms)
        of = tasks.c.is_declared, ~tasks.c.is_paused, or_(tasks.c.is_failing, is_late)
        query = select(*_TASK_COLUMNS).where(*of).order_by(tasks.c.name)
        async with self._database.reading() as connection:
            return [TaskRow(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name

    async def bots_without_token(self) -> list[tuple[int, str]]:
        is_refused = bots.c.paused & (bots.c.paused_by == PausedBy.TOKEN.value)
        of = IS_ADDED, or_(is_refused, bots.c.sealed_token.is_(None))
        query = select(bots.c.bot_id, bots.c.username).where(*of).order_by(bots.c.bot_id)
        async with self._database.reading() as connection:
            return [(row.bot_id, row.username) for row in await connection.execute(query)]

    async def long_holds(self, now_ms: int, *, over_ms: int) -> list[LongHold]:
        since = func.coalesce(holds.c.since_ms, now_ms)
        of = holds.c.chat_id == WHOLE_BOT, holds.c.until_ms > now_ms, holds.c.until_ms - since > over_ms
        named = holds.outerjoin(bots, bots.c.bot_id == holds.c.bot_id)
        columns = holds.c.bot_id, func.coalesce(bots.c.username, ""), since, holds.c.until_ms
        query = select(*columns).select_from(named).where(*of).order_by(holds.c.bot_id)
        async with self._database.reading() as connection:
            return [LongHold(*row) for row in await connection.execute(query)]

    async def dead_since(self, at_ms: int, *, up_to: int) -> int:
        recent = select(messages.c.id).where(IS_DEAD, messages.c.settled_at_ms >= at_ms).limit(up_to).subquery()
        async with self._database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(recent))).scalar_one())
