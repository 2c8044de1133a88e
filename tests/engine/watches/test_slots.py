from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as some

from tempogram.engine.model.watches import DAY_MS, HOUR_MS, PHASES, Item
from tempogram.engine.watches.slots import last_due_ms, phase_of, slot_of


def test_items_are_spread_evenly_over_the_slots() -> None:
    items = [Item("prices", str(number)) for number in range(24_000)]
    counts = Counter(slot_of(phase_of(item), interval_ms=DAY_MS, slot_ms=HOUR_MS) for item in items)

    assert counts.keys() == set(range(24))
    assert max(counts.values()) < 1.15 * 1_000


def test_an_item_of_another_source_has_a_slot_of_its_own() -> None:
    assert phase_of(Item("a", "bc")) != phase_of(Item("ab", "c"))


@given(
    phase=some.integers(0, PHASES - 1),
    now_ms=some.integers(0, 4_000_000_000_000),
    interval_h=some.sampled_from([24, 168]),
    slot_h=some.sampled_from([1, 4]),
)
def test_an_item_was_last_due_within_one_interval(phase: int, now_ms: int, interval_h: int, slot_h: int) -> None:
    interval_ms, slot_ms = interval_h * HOUR_MS, slot_h * HOUR_MS
    due_ms = last_due_ms(phase, now_ms, interval_ms=interval_ms, slot_ms=slot_ms)

    assert now_ms - interval_ms < due_ms <= now_ms
    assert due_ms % slot_ms == 0
    assert last_due_ms(phase, due_ms + interval_ms - 1, interval_ms=interval_ms, slot_ms=slot_ms) == due_ms
