"""When in its interval an item is due: in a slot of its own, by a stable hash, so that adding an item moves none."""

from __future__ import annotations

from zlib import crc32

from tempogram.engine.model.watches import PHASES, Item


def phase_of(item: Item) -> int:
    """Return a number below ``PHASES`` that is the same for ever.

    >>> phase_of(Item("titles", "tt0111161"))
    457381
    """
    return crc32(f"{item.source}\x00{item.key}".encode()) % PHASES


def slot_of(phase: int, *, interval_ms: int, slot_ms: int) -> int:
    """Return which slot of an interval is that of a phase.

    >>> slot_of(PHASES // 2, interval_ms=86_400_000, slot_ms=3_600_000)
    12
    """
    return phase * (interval_ms // slot_ms) // PHASES


def last_due_ms(phase: int, now_ms: int, *, interval_ms: int, slot_ms: int) -> int:
    """Return when an item was last due, at ``now_ms`` or before: the beginning of its slot.

    What was checked before that time is due now. ``storage.watches.due`` says the same in SQL.

    >>> last_due_ms(PHASES // 2, 20 * 3_600_000, interval_ms=86_400_000, slot_ms=3_600_000) // 3_600_000
    12
    """
    offset_ms = slot_of(phase, interval_ms=interval_ms, slot_ms=slot_ms) * slot_ms
    return (now_ms - offset_ms) // interval_ms * interval_ms + offset_ms
