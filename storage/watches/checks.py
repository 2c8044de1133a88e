"""What came of asking for an item, in one transaction: the item, what was observed, and whom it concerns.

And how fast a source is asked while it fails.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, literal, select, update

from tempogram.engine.model.watches import Check
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import (
    watch_items,
    watch_notices,
    watch_observations,
    watch_paces,
    watch_subscriptions,
)
from tempogram.storage.watches.rows import is_item


def note(connection: Connection, check: Check, debounce_ms: int) -> bool:
    """Store a check; return whether it was stored: another process may have asked at the same time."""
    is_as_before = watch_items.c.attempted_at_ms == check.of.attempted_at_ms
    values = _answered(check) if check.fields is not None else _failed(check)
    if not connection.execute(update(watch_items).where(is_item(check.of.item), is_as_before).values(values)).rowcount:
        return False
    if check.is_new:
        _observe(connection, check)
    if check.is_change:
        _notify(connection, check, debounce_ms)
    return True


def _answered(check: Check) -> dict[str, object]:
    values: dict[str, object] = {
        "checked_at_ms": check.at_ms,
        "attempted_at_ms": check.at_ms,
        "not_before_ms": 0,
        "failures": 0,
    }
    if check.is_new:
        values |= {"fields": dict(check.fields or {}), "changed_at_ms": check.at_ms}
    return values


def _failed(check: Check) -> dict[str, object]:
    failures = watch_items.c.failures + 1
    return {"attempted_at_ms": check.at_ms, "not_before_ms": check.again_at_ms, "failures": failures}


def _observe(connection: Connection, check: Check) -> None:
    row = {
        "source": check.of.item.source,
        "key": check.of.item.key,
        "at_ms": check.at_ms,
        "before": None if check.of.fields is None else dict(check.of.fields),
        "fields": dict(check.fields or {}),
    }
    connection.execute(insert_by(watch_observations, connection).values(row).on_conflict_do_nothing())


def _notify(connection: Connection, check: Check, debounce_ms: int) -> None:
    of, item = watch_subscriptions.c, check.of.item
    columns = ("bot_id", "chat_id", "source", "key", "at_ms", "due_at_ms")
    subscribers = select(
        of.bot_id, of.chat_id, of.source, of.key, literal(check.at_ms), literal(check.at_ms + debounce_ms)
    ).where(of.source == item.source, of.key == item.key)
    connection.execute(insert_by(watch_notices, connection).from_select(columns, subscribers))


def keep_pause(connection: Connection, source: str, pause_ms: int) -> None:
    """Keep the pause of a source; 0: forget it."""
    if not pause_ms:
        connection.execute(delete(watch_paces).where(watch_paces.c.source == source))
        return
    row = insert_by(watch_paces, connection).values(source=source, pause_ms=pause_ms)
    connection.execute(row.on_conflict_do_update(index_elements=["source"], set_={"pause_ms": row.excluded.pause_ms}))
