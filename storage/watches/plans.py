"""How many items a chat may watch, and which chat has which plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from tempogram.engine.model.watches import Plan, Subscriber
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import watch_members, watch_plans

PLAN = watch_plans.c


def plan_query(to: Subscriber, otherwise: str) -> Select[Any]:
    """Select the plan of a subscriber."""
    member = watch_members.c
    own = select(member.plan).where(_is_member(to)).scalar_subquery()
    return select(watch_plans).where(PLAN.name == func.coalesce(own, otherwise))


def plan(row: Row[Any]) -> Plan:
    return Plan(**row._mapping)  # noqa: SLF001 - its public name


def lock_member(connection: Connection, to: Subscriber) -> None:
    """Lock a subscriber's row until the transaction ends, so that two processes do not both add the last item."""
    row = insert_by(watch_members, connection).values(bot_id=to.bot_id, chat_id=str(to.chat_id))
    connection.execute(row.on_conflict_do_update(index_elements=KEY, set_={"plan": watch_members.c.plan}))


def give(connection: Connection, to: Subscriber, name: str) -> bool:
    """Give a plan; return False if there is none of this name."""
    if connection.execute(select(PLAN.name).where(PLAN.name == name)).first() is None:
        return False
    row = insert_by(watch_members, connection).values(bot_id=to.bot_id, chat_id=str(to.chat_id), plan=name)
    connection.execute(row.on_conflict_do_update(index_elements=KEY, set_={"plan": name}))
    return True


def ship(connection: Connection, shipped: Sequence[Plan]) -> None:
    row = insert_by(watch_plans, connection).on_conflict_do_nothing()
    connection.execute(row, [asdict(plan) for plan in shipped])


def put(connection: Connection, new: Plan) -> None:
    values = {name: getattr(new, name) for name in ("items_max", "interval_ms", "priority", "is_open")}
    row = insert_by(watch_plans, connection).values(name=new.name, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))


KEY = ["bot_id", "chat_id"]


def _is_member(to: Subscriber) -> Any:
    return and_(watch_members.c.bot_id == to.bot_id, watch_members.c.chat_id == str(to.chat_id))
