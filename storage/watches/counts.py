"""How much is watched, as one statement."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

from tempogram.engine.model.watches import Preset, WatchCounts, WatchRules
from tempogram.storage.database.models import (
    IS_FAILING,
    watch_items,
    watch_notices,
    watch_paces,
    watch_subscriptions,
)
from tempogram.storage.watches.due import due_query, spent_query

COUNTED_MAX = 10_000
"""Due items of a source, and digests, are counted up to it: an operator wants to know whether they are too many."""


def counts_query(rules: WatchRules, sources: Collection[str], now_ms: int) -> Select[Any]:
    """Select all counts; those of the sources in their order."""
    of, notice, pace = watch_subscriptions.c, watch_notices.c, watch_paces.c
    columns: list[ColumnElement[Any]] = [
        _counted(select(watch_items.c.key)).label("items"),
        _counted(select(of.key)).label("subscriptions"),
        _counted(select(of.bot_id, of.chat_id).distinct()).label("subscribers"),
        _counted(select(watch_items.c.source).where(IS_FAILING)).label("failing"),
        _counted(select(notice.key)).label("waiting"),
        _counted(select(notice.bot_id, notice.chat_id).distinct().limit(COUNTED_MAX)).label("digests"),
    ]
    for number, source in enumerate(sources):
        due = due_query(rules, source, now_ms).with_only_columns(watch_items.c.key).order_by(None).limit(COUNTED_MAX)
        pause = select(pace.pause_ms).where(pace.source == source).scalar_subquery()
        columns += [_counted(due).label(f"due_{number}"), pause.label(f"pause_{number}")]
        if rules.preset is Preset.PRIORITY:
            columns.append(spent_query(source, now_ms).scalar_subquery().label(f"spent_{number}"))
    return select(*columns)


def counts(row: Row[Any], rules: WatchRules, sources: Collection[str]) -> WatchCounts:
    counted = row._mapping  # noqa: SLF001 - its public name
    due = [counted[f"due_{number}"] for number in range(len(sources))]
    if rules.preset is Preset.PRIORITY:
        due = [min(count, rules.hourly_max - counted[f"spent_{number}"]) for number, count in enumerate(due)]
    pauses = {source: counted[f"pause_{number}"] or 0 for number, source in enumerate(sources)}
    return WatchCounts(
        **{name: counted[name] for name in ("items", "subscriptions", "subscribers", "failing", "waiting", "digests")},
        due=sum(max(0, count) for count in due),
        pauses_ms={source: max(rules.pause_ms, pause_ms) for source, pause_ms in pauses.items()},
    )


def _counted(query: Select[Any]) -> ColumnElement[Any]:
    return select(func.count()).select_from(query.subquery()).scalar_subquery()
