"""Items and changes as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

from tempogram.bot.behaviours.cutting import cut
from tempogram.bot.validation.parameter_limits import TEXT_MAX, length_of
from tempogram.engine.model.watches import DAY_MS, HOUR_MS, Digest, Fields, ItemChange, Value, Watched

MORE = 40
"""Characters that are kept for "… and 123 more"."""

MINUTE_MS = 60_000


def shown(value: Value) -> str:
    """Return a value as it is shown.

    >>> shown(9.50), shown(True), shown(None), shown(12)
    ('9.5', 'yes', '?', '12')
    """
    match value:
        case None:
            return "?"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.10g}"
        case _:
            return str(value)


def state_of(fields: Fields | None) -> str:
    """Return what is known of an item.

    >>> state_of({"price": 9.5, "in_stock": True}), state_of({}), state_of(None)
    ('price 9.5, in_stock yes', 'gone', 'not known yet')
    """
    if fields is None:
        return "not known yet"
    return ", ".join(f"{name} {shown(value)}" for name, value in fields.items()) or "gone"


def change_of(change: ItemChange) -> str:
    """Return what has become of an item; empty: it is as it was.

    >>> from tempogram.engine.model.watches import Item
    >>> tea = Item("prices", "tea")
    >>> change_of(ItemChange(item=tea, before={"price": 9, "stock": 3}, after={"price": 8, "stock": 3}))
    'tea: price 9 → 8'
    >>> change_of(ItemChange(item=tea, before={"price": 9}, after={}))
    'tea: gone'
    """
    before, after = dict(change.before), dict(change.after)
    if before == after:
        return ""
    if not before or not after:
        return f"{change.item.key}: {state_of(after)}"
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    parts = (f"{name} {shown(before.get(name))} → {shown(after.get(name))}" for name in names)
    return f"{change.item.key}: {', '.join(parts)}"


def digest_text(digest: Digest) -> str:
    """Return the message of a digest; empty: everything is as it was."""
    return joined("Changed:", [line for change in digest.changes if (line := change_of(change))])


def joined(title: str, lines: Iterable[str], count: int = 0) -> str:
    """Return lines below a title, as many as one message takes, and how many more of ``count`` there are.

    Empty: there are no lines.
    """
    every = list(lines)
    text, count = title, max(count, len(every))
    for number, line in enumerate(every):
        longer = f"{text}\n• {line}"
        if length_of(longer) > TEXT_MAX - MORE:
            return f"{text}\n… and {count - number:,} more" if number else cut(longer)
        text = longer
    if count > len(every):
        return f"{text}\n… and {count - len(every):,} more"
    return text if every else ""


def age_of(known: Watched, now_ms: int) -> str:
    """Return how old is what is known of an item.

    >>> ages = (30_000, 90 * 60_000, 50 * 3_600_000)
    >>> [_span(age_ms) for age_ms in ages]
    ['just now', '1 h ago', '2 d ago']
    """
    return _span(now_ms - known.checked_at_ms)


def _span(age_ms: int) -> str:
    for unit_ms, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if age_ms >= unit_ms:
            return f"{age_ms // unit_ms} {name} ago"
    return "just now"
