"""An item as a row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_

from tempogram.engine.model.watches import Item, Subscriber, Watched
from tempogram.engine.watches.slots import phase_of
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import watch_items, watch_subscriptions

COLUMNS = tuple(
    watch_items.c[name]
    for name in (
        "source",
        "key",
        "phase",
        "priority",
        "viewed_at_ms",
        "checked_at_ms",
        "changed_at_ms",
        "attempted_at_ms",
        "failures",
        "fields",
    )
)


def is_item(item: Item) -> ColumnElement[bool]:
    return and_(watch_items.c.source == item.source, watch_items.c.key == item.key)


def is_subscription(to: Subscriber, item: Item | None = None) -> ColumnElement[bool]:
    """Return the condition of a subscriber's subscriptions, or of the one to an item."""
    of = watch_subscriptions.c
    mine = and_(of.bot_id == to.bot_id, of.chat_id == str(to.chat_id))
    return mine if item is None else and_(mine, of.source == item.source, of.key == item.key)


def watched(row: Row[Any]) -> Watched:
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    return Watched(item=Item(values.pop("source"), values.pop("key")), **values)


def add_item(connection: Connection, item: Item, now_ms: int) -> None:
    """Add an item if there is none; it is due in its slot, like all others."""
    row = {"source": item.source, "key": item.key, "phase": phase_of(item), "checked_at_ms": now_ms}
    connection.execute(insert_by(watch_items, connection).values(row).on_conflict_do_nothing())
