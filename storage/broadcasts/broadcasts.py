"""The rows of broadcasts. What becomes of recipients is counted in the transaction that stores it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, exists, false, func, select, true, update

from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Outcome, Plan, Stars, Totals
from tempogram.engine.model.messages import ChatId
from tempogram.engine.ports.broadcast_store import PAGE
from tempogram.storage.broadcasts import recipients
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import (
    IS_ACTIVE,
    IS_PAID,
    attempts,
    broadcasts,
    chats,
)

LEFT = broadcasts.c.recipients - sum(broadcasts.c[each.value] for each in Outcome)
"""Recipients without an outcome; see ``Broadcast.left``."""

RUNNING, DONE = BroadcastState.RUNNING.value, BroadcastState.DONE.value


class SqlBroadcastStore:
    """See ``engine.ports.broadcast_store.BroadcastStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, plan: Plan, *, now_ms: int) -> Broadcast:
        values = {
            "bot_id": plan.selection.bot_id,
            "name": name,
            "plan": msgspec.json.encode(plan),
            "media": plan.content.media,
            "state": BroadcastState.DRAFT.value,
            "created_at_ms": now_ms,
        }

        def write(connection: Connection) -> int:
            made = insert_by(broadcasts, connection).values(values).returning(broadcasts.c.id)
            return int(connection.execute(made).scalar_one())

        return Broadcast(id=await self._database.write_alone(write), name=name, plan=plan, created_at_ms=now_ms)

    async def get(self, broadcast_id: int) -> Broadcast | None:
        return next(iter(await self._read(select(broadcasts).where(broadcasts.c.id == broadcast_id))), None)

    async def page(self, *, before_id: int | None, limit: int) -> list[Broadcast]:
        is_before = true() if before_id is None else broadcasts.c.id < before_id
        return await self._read(select(broadcasts).where(is_before).order_by(broadcasts.c.id.desc()).limit(limit))

    async def active(self, *, after_id: int = 0, limit: int = PAGE) -> list[Broadcast]:
        is_next = IS_ACTIVE, broadcasts.c.id > after_id
        return await self._read(select(broadcasts).where(*is_next).order_by(broadcasts.c.id).limit(limit))

    async def totals(self, *, limit: int = PAGE) -> Totals:
        async with self._database.reading() as connection:
            row = (await connection.execute(recipients.totals(limit))).one()
        ended = {each: int(row._mapping[each.value]) for each in Outcome if row._mapping[each.value]}  # noqa: SLF001
        waiting = int(row.recipients) - sum(ended.values())
        return Totals(running=row.running, waiting=waiting, outcomes=ended, next_due_ms=row.next_due_ms)

    async def change(
        self,
        broadcast_id: int,
        to: BroadcastState,
        *,
        when: Collection[BroadcastState],
        now_ms: int,
        problem: str | None = None,
    ) -> bool:
        values: dict[str, Any] = {"state": to.value, "is_active": true(), "problem": problem}
        if to is BroadcastState.RUNNING:
            values |= {"started_at_ms": func.coalesce(broadcasts.c.started_at_ms, now_ms)}
        elif to is BroadcastState.CANCELLED:
            values |= {"ended_at_ms": now_ms}
        is_meant = broadcasts.c.id == broadcast_id, broadcasts.c.state.in_([each.value for each in when])
        changed = update(broadcasts).where(*is_meant).values(values)
        return await self._database.write_alone(lambda connection: connection.execute(changed).rowcount == 1)

    async def retry(self, broadcast_id: int) -> bool:
        is_meant = broadcasts.c.id == broadcast_id, broadcasts.c.state == DONE
        again = (
            update(broadcasts)
            .where(*is_meant)
            .values(state=RUNNING, is_active=true(), is_retrying=true(), ended_at_ms=None)
        )
        return await self._database.write_alone(lambda connection: connection.execute(again).rowcount == 1)

    async def gather(self, broadcast: Broadcast, due: Mapping[ChatId, int], *, to: str) -> None:
        await self._database.write_alone(partial(recipients.gather, broadcast=broadcast, due=due, to=to))

    async def due(self, broadcast: Broadcast, *, now_ms: int, limit: int) -> list[Addressee]:
        query = recipients.due(broadcast, now_ms).limit(limit)
        async with self._database.reading() as connection:
            return [recipients.addressee(row) for row in await connection.execute(query)]

    async def note(self, broadcast: Broadcast, message_ids: Mapping[Addressee, str]) -> None:
        await self._database.write_alone(partial(recipients.note, broadcast=broadcast, message_ids=message_ids))

    async def end(self, broadcast: Broadcast, ended: Mapping[Outcome, Sequence[Addressee]]) -> None:
        await self._database.write_alone(partial(recipients.end_waiting, broadcast=broadcast, ended=ended))

    async def drop(self, broadcast: Broadcast, twins: Sequence[Addressee]) -> None:
        await self._database.write_alone(partial(recipients.drop, broadcast=broadcast, twins=twins))

    async def postpone(self, broadcast: Broadcast, due_ms: Mapping[Addressee, int]) -> None:
        await self._database.write_alone(partial(recipients.postpone, broadcast=broadcast, due_ms=due_ms))

    async def settle(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        ended = recipients.ended(broadcast).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(ended)).all()
        if rows:
            await self._database.write_alone(partial(recipients.settle, broadcast=broadcast, found=rows))
        return len(rows)

    async def set_back(self, broadcast: Broadcast, *, limit: int = PAGE) -> int:
        return await self._database.write_alone(partial(recipients.set_back, broadcast=broadcast, limit=limit))

    async def under_way(self, of: Sequence[Broadcast]) -> Counter[int]:
        return await self._by_id(recipients.count_under_way([each.id for each in of]))

    async def last_due_ms(self, of: Sequence[Broadcast]) -> Counter[int]:
        return await self._by_id(recipients.last_due([each.id for each in of]))

    async def finish(self, broadcast: Broadcast, *, now_ms: int) -> bool:
        is_over = broadcasts.c.is_gathered, ~broadcasts.c.is_retrying, LEFT == 0
        is_meant = broadcasts.c.id == broadcast.id, broadcasts.c.state == RUNNING
        done = update(broadcasts).where(*is_meant, *is_over).values(state=DONE, is_active=false(), ended_at_ms=now_ms)
        return await self._database.write_alone(lambda connection: connection.execute(done).rowcount == 1)

    async def quieten(self, broadcast: Broadcast) -> None:
        is_meant = broadcasts.c.id == broadcast.id, broadcasts.c.state == broadcast.state.value
        is_quiet = ~exists().where(recipients.is_under_way(broadcast))
        quiet = update(broadcasts).where(*is_meant, is_quiet).values(is_active=false())
        await self._database.write_alone(lambda connection: connection.execute(quiet) and None)

    async def ahead(self, of: Sequence[Broadcast]) -> Counter[int]:
        meant = broadcasts.alias("meant")
        is_other = broadcasts.c.bot_id == meant.c.bot_id, broadcasts.c.id != meant.c.id
        left = select(func.coalesce(func.sum(LEFT), 0)).where(IS_ACTIVE, broadcasts.c.state == RUNNING, *is_other)
        of_each = select(meant.c.id, left.correlate(meant).scalar_subquery())
        return await self._by_id(of_each.where(meant.c.id.in_([each.id for each in of])))

    async def zones(self, bot_id: int) -> Mapping[str | None, int]:
        of_bot = chats.c.bot_id == bot_id, chats.c.alias_of.is_(None)
        counted = select(chats.c.time_zone, func.count()).where(*of_bot).group_by(chats.c.time_zone)
        async with self._database.reading() as connection:
            return {row[0]: row[1] for row in await connection.execute(counted)}

    async def paid_places(self, bot_id: int, *, since_ms: int, until_ms: int) -> int:
        made = attempts.c
        in_time = IS_PAID, made.counted_at_ms >= since_ms, made.counted_at_ms <= until_ms
        places = select(func.coalesce(func.sum(made.cost), 0)).where(*in_time, made.bot_id == bot_id)
        async with self._database.reading() as connection:
            return int((await connection.execute(places)).scalar_one())

    async def note_stars(self, broadcast_id: int, stars: Stars, *, over: Stars | None) -> bool:
        values = {
            "purse_places": stars.purse_places,
            "nanostars_billed": stars.nanostars_billed,
            "stars_asked_at_ms": stars.asked_at_ms,
        }
        asked = broadcasts.c.stars_asked_at_ms
        is_last = asked.is_(None) if over is None else asked == over.asked_at_ms
        noted = update(broadcasts).where(broadcasts.c.id == broadcast_id, is_last).values(values)
        return await self._database.write_alone(lambda connection: connection.execute(noted).rowcount == 1)

    async def _by_id(self, query: Select[Any]) -> Counter[int]:
        async with self._database.reading() as connection:
            return Counter({row[0]: int(row[1]) for row in await connection.execute(query)})

    async def _read(self, query: Select[Any]) -> list[Broadcast]:
        async with self._database.reading() as connection:
            return [_broadcast(row) for row in await connection.execute(query)]


def _broadcast(row: Row[Any]) -> Broadcast:
    counts = row._mapping  # noqa: SLF001 - its public name
    return Broadcast(
        id=row.id,
        name=row.name,
        plan=msgspec.json.decode(row.plan, type=Plan),
        state=BroadcastState(row.state),
        is_gathered=row.is_gathered,
        gathered_to=row.gathered_to,
        is_retrying=row.is_retrying,
        is_active=row.is_active,
        recipients=row.recipients,
        outcomes={each: counts[each.value] for each in Outcome if counts[each.value]},
        created_at_ms=row.created_at_ms,
        started_at_ms=row.started_at_ms,
        ended_at_ms=row.ended_at_ms,
        problem=row.problem,
        stars=None if row.stars_asked_at_ms is None else _stars(row),
    )


def _stars(row: Row[Any]) -> Stars:
    return Stars(
        purse_places=row.purse_places, nanostars_billed=row.nanostars_billed, asked_at_ms=row.stars_asked_at_ms
    )
