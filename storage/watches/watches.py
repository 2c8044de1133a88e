"""The store of watches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from sqlalchemy import Connection, Select, select, update

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
    watch_observations,
    watch_paces,
    watch_plans,
    watch_subscriptions,
)
from tempogram.storage.watches import checks, digests, plans, subscriptions
from tempogram.storage.watches.counts import counts, counts_query
from tempogram.storage.watches.due import due_query, spent_query
from tempogram.storage.watches.rows import COLUMNS, is_item, is_subscription, watched

DIGESTS_MAX = 100
"""Read at once: one may have a line for each of a hundred items."""


class SqlWatchStore:
    """See ``engine.ports.watch_store.WatchStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def subscribe(self, to: Subscriber, item: Item, rules: WatchRules, *, now_ms: int) -> bool:
        add = partial(subscriptions.add, to=to, item=item, rules=rules, now_ms=now_ms)
        match await self._database.write_alone(add):
            case None:
                raise _no_plan(rules.plan)
            case Plan() as plan:
                raise WatchesFull(plan)
            case is_new:
                return is_new

    async def unsubscribe(self, to: Subscriber, item: Item) -> bool:
        return await self._database.write_alone(partial(subscriptions.end, to=to, item=item))

    async def subscriptions(self, to: Subscriber, *, limit: int = PAGE) -> list[Watched]:
        of = watch_subscriptions.c
        query = select(*COLUMNS).join(
            watch_subscriptions, (of.source == watch_items.c.source) & (of.key == watch_items.c.key)
        )
        return await self._items(query.where(is_subscription(to)).order_by(of.source, of.key).limit(limit))

    async def subscribed(self, to: Subscriber) -> int:
        return await self._count(subscriptions.count_query(to))

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

    async def due(self, rules: WatchRules, source: str, *, now_ms: int, limit: int) -> list[Watched]:
        limit = await self._left(rules, source, now_ms, limit)
        return await self._items(due_query(rules, source, now_ms).limit(limit)) if limit > 0 else []

    async def note(self, check: Check, *, debounce_ms: int) -> bool:
        return await self._database.write_alone(partial(checks.note, check=check, debounce_ms=debounce_ms))

    async def pause_ms(self, source: str) -> int:
        async with self._database.reading() as connection:
            kept = select(watch_paces.c.pause_ms).where(watch_paces.c.source == source)
            return (await connection.execute(kept)).scalar() or 0

    async def keep_pause(self, source: str, pause_ms: int) -> None:
        await self._database.write_alone(partial(checks.keep_pause, source=source, pause_ms=pause_ms))

    async def decay(self) -> int:
        of = watch_items.c
        lower = update(watch_items).where(of.priority > 1).values(priority=of.priority - 1)
        return await self._database.write_alone(lambda connection: connection.execute(lower).rowcount)

    async def waiting(self, *, now_ms: int, limit: int = PAGE) -> list[Waiting]:
        async with self._database.reading() as connection:
            return [digests.waiting(row) for row in await connection.execute(digests.waiting_query(now_ms, limit))]

    async def put_together(self, to: Sequence[Subscriber], *, now_ms: int) -> None:
        await self._database.write_alone(partial(digests.put_together, to=to, now_ms=now_ms))

    async def defer(self, to: Sequence[Subscriber], *, until_ms: int) -> None:
        await self._database.write_alone(partial(digests.defer, to=to, until_ms=until_ms))

    async def drop(self, to: Sequence[Subscriber]) -> int:
        return await self._database.write_alone(partial(digests.drop, to=to))

    async def digests(self, *, after: Digest | None = None, without: Collection[int] = ()) -> list[Digest]:
        query = digests.digests_query(after, without, DIGESTS_MAX)
        async with self._database.reading() as connection:
            return digests.digests((await connection.execute(query)).all())

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
        async with self._database.reading() as connection:
            counted = (await connection.execute(counts_query(rules, sources, now_ms))).one()
        return counts(counted, rules, sources)

    async def _items(self, query: Select[tuple[object, ...]]) -> list[Watched]:
        async with self._database.reading() as connection:
            return [watched(row) for row in await connection.execute(query)]

    async def _left(self, rules: WatchRules, source: str, now_ms: int, limit: int) -> int:
        """Return how many items of a source may be checked now, at the most."""
        if rules.preset is not Preset.PRIORITY:
            return limit
        return min(limit, rules.hourly_max - await self._count(spent_query(source, now_ms)))

    async def _count(self, query: Select[int]) -> int:
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar_one()


def _no_plan(name: str) -> UnknownPlan:
    return UnknownPlan(f"there is no plan {name!r}; see GET /watches/plans")
