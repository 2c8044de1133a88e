"""Which items are to be checked now: one query with five presets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from tempogram.engine.model.watches import DAY_MS, HOUR_MS, PHASES, Preset, WatchRules
from tempogram.storage.database.models import (
    chats,
    watch_items,
    watch_members,
    watch_plans,
    watch_subscriptions,
)
from tempogram.storage.watches.rows import COLUMNS

ITEM = watch_items.c


def due_query(rules: WatchRules, source: str, now_ms: int) -> Select[Any]:
    """Select the items of a source that are to be checked, in their order."""
    query = select(*COLUMNS).where(ITEM.source == source, ITEM.not_before_ms <= now_ms)
    if rules.preset is Preset.BY_USER:
        best = _best_plans(rules, now_ms)
        query = query.join(best, and_(best.c.source == ITEM.source, best.c.key == ITEM.key))
        return query.order_by(best.c.priority.desc(), *OLDEST)
    return query.where(_has_subscriber(), _is_due(rules, now_ms)).order_by(*_order(rules.preset))


def spent_query(source: str, now_ms: int) -> Select[Any]:
    """Count the items of a source that were attempted in this hour."""
    is_of_hour = ITEM.attempted_at_ms >= now_ms - now_ms % HOUR_MS
    return select(func.count()).select_from(watch_items).where(ITEM.source == source, is_of_hour)


OLDEST = (ITEM.checked_at_ms, ITEM.source, ITEM.key)


def _order(preset: Preset) -> tuple[ColumnElement[Any], ...]:
    match preset:
        case Preset.VIEWED:
            return (ITEM.viewed_at_ms.desc(), *OLDEST)
        case Preset.PRIORITY:
            return (ITEM.priority.desc(), *OLDEST)
        case _:
            return OLDEST


def _is_due(rules: WatchRules, now_ms: int) -> ColumnElement[bool]:
    is_past_slot = ITEM.checked_at_ms < _last_due_ms(literal(DAY_MS), rules, now_ms)
    match rules.preset:
        case Preset.VIEWED:
            return and_(is_past_slot, ITEM.viewed_at_ms >= now_ms - rules.viewed_ms)
        case Preset.ON_DEMAND:
            is_unknown = or_(ITEM.checked_at_ms <= now_ms - rules.cache_ms, ITEM.fields.is_(null()))
            return and_(ITEM.viewed_at_ms > 0, ITEM.viewed_at_ms >= ITEM.checked_at_ms, is_unknown)
        case Preset.PRIORITY:
            return ITEM.attempted_at_ms < now_ms - now_ms % HOUR_MS
        case _:
            return is_past_slot


def _last_due_ms(interval_ms: ColumnElement[int], rules: WatchRules, now_ms: int) -> ColumnElement[int]:
    """See ``engine.watches.slots.last_due_ms``."""
    slots = interval_ms // rules.slot_ms
    offset_ms = (ITEM.phase * slots) // PHASES * rules.slot_ms
    return (literal(now_ms) - offset_ms) // interval_ms * interval_ms + offset_ms


def _has_subscriber() -> ColumnElement[bool]:
    of = watch_subscriptions.c
    return exists().where(of.source == ITEM.source, of.key == ITEM.key)


def _best_plans(rules: WatchRules, now_ms: int) -> Subquery:
    """Select the items that are due by the plan of an active subscriber, with the highest priority of such a plan."""
    of, member, plan = watch_subscriptions.c, watch_members.c, watch_plans.c
    has_plan = case((member.plan.is_(None), rules.plan), else_=member.plan)
    is_active = chats.c.last_message_in_at_ms >= now_ms - rules.active_ms
    return (
        select(of.source, of.key, func.max(plan.priority).label("priority"))
        .join(watch_items, and_(ITEM.source == of.source, ITEM.key == of.key))
        .join(chats, and_(chats.c.bot_id == of.bot_id, chats.c.chat_id == of.chat_id, is_active))
        .join(watch_members, and_(member.bot_id == of.bot_id, member.chat_id == of.chat_id), isouter=True)
        .join(watch_plans, plan.name == has_plan)
        .where(ITEM.checked_at_ms < _last_due_ms(plan.interval_ms, rules, now_ms))
        .group_by(of.source, of.key)
        .subquery()
    )
