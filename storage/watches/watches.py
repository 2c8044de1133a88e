"""The store of watches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from tempogram.engine.model.watches import (
    Check,
    Digest,
    Item,
    Observation,
    Plan,
    Preset,
    Subscriber,
    UnknownPlan,
    Waiting,
    WatchCounts,
    Watched,
    WatchesFull,
    WatchRules,
)
from tempogram.engine.ports.watch_store import PAGE
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import (
    watch_items,
    watch_notices,
    watch_observations,
    watch_plans,
    watch_subscriptions,
)
from tempogram.storage.watches import checks, digests, plans
from tempogram.storage.watches.due import due_query, spent_query
from tempogram.storage.watches.rows import COLUMNS, add_item, is_item, is_subscription, watched

DIGESTS_MAX = 100
"""Read at once: one may have a line for each of a hundred items."""

COUNTED_MAX = 10_000
"""Due items are counted up to it: an operator wants to know whether they are too many."""


class SqlWatchStore:
    """See ``engine.ports.watch_store.WatchStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def subscribe(self, to: Subscriber, item: Item, rules: WatchRules, *, now_ms: int) -> bool:
        done = await self._database.write_alone(partial(_subscribe, to=to, item=item, rules=rules, now_ms=now_ms))
        if isinstance(done, Exception):
            raise done
        return done

    async def unsubscribe(self, to: Subscriber, item: Item) -> bool:
        return await self._database.write_alone(partial(_unsubscribe, to=to, item=item))

    async def subscriptions(self, to: Subscriber, *, limit: int = PAGE) -> list[Watched]:
        of = watch_subscriptions.c
        query = select(*COLUMNS).join(
            watch_subscriptions, (of.source == watch_items.c.source) & (of.key == watch_items.c.key)
        )
        return await self._items(query.where(is_subscription(to)).order_by(of.source, of.key).limit(limit))

    async def item(self, item: Item) -> Watched | None:
        return next(iter(await self._items(select(*COLUMNS).where(is_item(item)))), None)

    async def view(self, item: Item, *, now_ms: int) -> Watched | None:
        def write(connection: Connection) -> bool:
            viewed = {"viewed_at_ms": now_ms, "priority": watch_items.c.priority + 1}
            return bool(connection.execute(update(watch_items).where(is_item(item)).values(viewed)).rowcount)

        return await self.item(item) if await self._database.write_alone(write) else None

    async def items(self, *, source: str = "", after: str = "", limit: int = PAGE) -> list[Watched]:
        of = watch_items.c
        return await self._items(
            select(*COLUMNS).where(of.source == source, of.key > after).order_by(of.key).limit(limit)
        )

    async def observations(self, item: Item, *, limit: int = PAGE) -> list[Observation]:
        of = watch_observations.c
        is_meant = of.source == item.source, of.key == item.key
        query = select(of.at_ms, of.before, of.fields).where(*is_meant).order_by(of.at_ms.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [Observation(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name

    async def due(self, rules: WatchRules, sources: Collection[str], *, now_ms: int, limit: int) -> list[Watched]:
        if rules.preset is Preset.PRIORITY:
            limit = min(limit, rules.hourly_max - await self._count(spent_query(now_ms)))
        return await self._items(due_query(rules, sources, now_ms).limit(limit)) if limit > 0 else []

    async def note(self, checks_: Sequence[Check], *, debounce_ms: int) -> list[bool]:
        return await self._database.write_alone(partial(checks.note, checks=checks_, debounce_ms=debounce_ms))

    async def decay(self) -> int:
        of = watch_items.c
        lower = update(watch_items).where(of.priority > 1).values(priority=of.priority - 1)
        return await self._database.write_alone(lambda connection: connection.execute(lower).rowcount)

    async def waiting(self, *, now_ms: int, limit: int = PAGE) -> list[Waiting]:
        async with self._database.reading() as connection:
            return [digests.waiting(row) for row in await connection.execute(digests.waiting_query(now_ms, limit))]

    async def put_together(self, to: Sequence[Subscriber], *, now_ms: int) -> None:
        await self._database.write_alone(partial(digests.put_together, to=to, now_ms=now_ms))

    async def defer(self, to: Subscriber, *, until_ms: int) -> None:
        await self._database.write_alone(partial(digests.defer, to=to, until_ms=until_ms))

    async def drop(self, to: Sequence[Subscriber]) -> int:
        return await self._database.write_alone(partial(digests.drop, to=to))

    async def digests(self, *, after: Digest | None = None) -> list[Digest]:
        async with self._database.reading() as connection:
            return digests.digests((await connection.execute(digests.digests_query(after, DIGESTS_MAX))).all())

    async def submitted(self, done: Sequence[Digest]) -> None:
        await self._database.write_alone(partial(digests.forget, digests=done))

    async def plans(self) -> list[Plan]:
        async with self._database.reading() as connection:
            return [plans.plan(row) for row in await connection.execute(select(watch_plans).order_by("name"))]

    async def ship_plans(self, shipped: Sequence[Plan]) -> None:
        await self._database.write_alone(partial(plans.ship, shipped=shipped))

    async def put_plan(self, plan: Plan) -> None:
        await self._database.write_alone(partial(plans.put, new=plan))

    async def plan_of(self, to: Subscriber, rules: WatchRules) -> Plan:
        async with self._database.reading() as connection:
            row = (await connection.execute(plans.plan_query(to, rules.plan))).first()
        if row is None:
            raise _no_plan(rules.plan)
        return plans.plan(row)

    async def give_plan(self, to: Subscriber, plan: str) -> None:
        if not await self._database.write_alone(partial(plans.give, to=to, name=plan)):
            raise _no_plan(plan)

    async def counts(self, rules: WatchRules, sources: Collection[str], *, now_ms: int) -> WatchCounts:
        due = due_query(rules, sources, now_ms).with_only_columns(watch_items.c.key).order_by(None)
        is_failing = watch_items.c.failures > 0
        return WatchCounts(
            items=await self._count(select(func.count()).select_from(watch_items)),
            subscriptions=await self._count(select(func.count()).select_from(watch_subscriptions)),
            due=await self._count(select(func.count()).select_from(due.limit(COUNTED_MAX).subquery())),
            waiting=await self._count(select(func.count()).select_from(watch_notices)),
            failing=await self._count(select(func.count()).select_from(watch_items).where(is_failing)),
        )

    async def _items(self, query: Select[tuple[object, ...]]) -> list[Watched]:
        async with self._database.reading() as connection:
            return [watched(row) for row in await connection.execute(query)]

    async def _count(self, query: Select[int]) -> int:
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one()


def _subscribe(
    connection: Connection, to: Subscriber, item: Item, rules: WatchRules, now_ms: int
) -> bool | WatchesFull | UnknownPlan:
    plans.lock_member(connection, to)
    if connection.execute(select(watch_subscriptions.c.key).where(is_subscription(to, item))).first() is not None:
        return False
    row = connection.execute(plans.plan_query(to, rules.plan)).first()
    if row is None:
        return _no_plan(rules.plan)
    count = select(func.count()).select_from(watch_subscriptions).where(is_subscription(to))
    if connection.execute(count).scalar_one() >= row.items_max:
        return WatchesFull(plans.plan(row))
    add_item(connection, item, now_ms)
    values = {"bot_id": to.bot_id, "chat_id": str(to.chat_id), "source": item.source, "key": item.key}
    connection.execute(insert(watch_subscriptions).values(added_at_ms=now_ms, **values))
    return True


def _unsubscribe(connection: Connection, to: Subscriber, item: Item) -> bool:
    of = watch_notices.c
    is_mine = of.bot_id == to.bot_id, of.chat_id == str(to.chat_id), of.source == item.source, of.key == item.key
    connection.execute(delete(watch_notices).where(*is_mine, of.digest_at_ms == 0))
    return bool(connection.execute(delete(watch_subscriptions).where(is_subscription(to, item))).rowcount)


def _no_plan(name: str) -> UnknownPlan:
    return UnknownPlan(f"there is no plan {name!r}; see GET /watches/plans")
