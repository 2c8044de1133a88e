"""The bot that holds the fewest places comes first; within a bot, what came first."""

from __future__ import annotations

from collections import Counter

from tempogram.bot.updates.waiting_by_bot import WaitingByBot


def served(waiting: WaitingByBot[str], held: Counter[int]) -> list[str]:
    """Serve all that waits; each that is served holds one place more."""
    items = []
    while waiting:
        bot_id = next(waiting.bots())
        items.append(waiting.pop(bot_id))
        held[bot_id] += 1
        waiting.held_changed(bot_id)
    return items


def test_bots_that_hold_as_many_places_take_turns() -> None:
    held: Counter[int] = Counter()
    waiting: WaitingByBot[str] = WaitingByBot(held.__getitem__)
    for bot_id, item in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")]:
        waiting.append(bot_id, item)

    assert len(waiting) == 6
    assert served(waiting, held) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_bot_that_holds_many_places_comes_after_those_that_hold_few() -> None:
    held = Counter({1: 4, 2: 2})
    waiting: WaitingByBot[str] = WaitingByBot(held.__getitem__)
    for bot_id, item in [(1, "a1"), (2, "b1"), (2, "b2"), (3, "c1")]:
        waiting.append(bot_id, item)

    assert served(waiting, held) == ["c1", "b1", "b2", "a1"]


def test_a_bot_that_gives_places_back_moves_forward() -> None:
    held = Counter({1: 4, 2: 2})
    waiting: WaitingByBot[str] = WaitingByBot(held.__getitem__)
    waiting.append(1, "a1")
    waiting.append(2, "b1")

    held[1] = 0
    waiting.held_changed(1)

    assert list(waiting.bots()) == [1, 2]
