"""Which chats watch which items, as changes of rows."""

from __future__ import annotations

from sqlalchemy import Connection, Select, and_, delete, func, insert, literal, select

from tempogram.engine.model.watches import Item, Plan, Subscriber, WatchRules
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import watch_members, watch_notices, watch_subscriptions
from tempogram.storage.watches import plans
from tempogram.storage.watches.rows import add_item, is_subscription


def add(connection: Connection, to: Subscriber, item: Item, rules: WatchRules, now_ms: int) -> bool | Plan | None:
    """Add a subscription; return False if there was such a one, the plan if it is full, None if there is no plan."""
    plans.lock_member(connection, to)
    if connection.execute(select(watch_subscriptions.c.key).where(is_subscription(to, item))).first() is not None:
        return False
    row = connection.execute(plans.plan_query(to, rules.plan)).first()
    if row is None:
        return None
    if connection.execute(count_query(to)).scalar_one() >= row.items_max:
        return plans.plan(row)
    add_item(connection, item, now_ms)
    values = {"bot_id": to.bot_id, "chat_id": str(to.chat_id), "source": item.source, "key": item.key}
    connection.execute(insert(watch_subscriptions).values(added_at_ms=now_ms, **values))
    return True


def count_query(to: Subscriber) -> Select[int]:
    return select(func.count()).select_from(watch_subscriptions).where(is_subscription(to))


def end(connection: Connection, to: Subscriber, item: Item) -> bool:
    of = watch_notices.c
    is_mine = of.bot_id == to.bot_id, of.chat_id == str(to.chat_id), of.source == item.source, of.key == item.key
    connection.execute(delete(watch_notices).where(*is_mine, of.digest_at_ms == 0))
    return bool(connection.execute(delete(watch_subscriptions).where(is_subscription(to, item))).rowcount)


def move_chat(connection: Connection, bot_id: int, old: str, new: str) -> None:
    """Move what a group watches to the supergroup that it has become; what that has itself stays.

    A digest that was put together stays under its name, by which it is submitted once; it is sent to the new id.
    """
    for table, narrower in ((watch_subscriptions, ()), (watch_notices, (watch_notices.c.digest_at_ms == 0,))):
        of_old = and_(table.c.bot_id == bot_id, table.c.chat_id == old, *narrower)
        names = [column.name for column in table.c]
        moved = select(*(literal(new) if name == "chat_id" else table.c[name] for name in names)).where(of_old)
        connection.execute(insert_by(table, connection).from_select(names, moved).on_conflict_do_nothing())
        connection.execute(delete(table).where(of_old))
    member = watch_members.c
    is_old = member.bot_id == bot_id, member.chat_id == old
    moved = select(member.bot_id, literal(new), member.plan).where(*is_old)
    row = insert_by(watch_members, connection).from_select(["bot_id", "chat_id", "plan"], moved)
    plan = func.coalesce(member.plan, row.excluded.plan)
    connection.execute(row.on_conflict_do_update(index_elements=plans.KEY, set_={"plan": plan}))
    connection.execute(delete(watch_members).where(*is_old))
