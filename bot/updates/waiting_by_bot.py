"""What waits for a place, by bot: the bot that holds the fewest places comes first."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WaitingByBot(Generic[Item]):
    """Items in the order of their arrival within a bot; of two bots that hold as many places, one after the other.

    Adding, taking out and a change of a bot's places cost O(1), and going through the bots O(1) a bot.

    Args:
        held: Tells how many places a bot holds.
    """

    def __init__(self, held: Callable[[int], int]) -> None:
        self._held = held
        self._items: dict[int, deque[Item]] = {}
        self._held_of: dict[int, int] = {}
        self._bots: defaultdict[int, dict[int, None]] = defaultdict(dict)  # by the places that they hold

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def __bool__(self) -> bool:
        return bool(self._items)

    def append(self, bot_id: int, item: Item) -> None:
        if bot_id in self._items:
            self._items[bot_id].append(item)
        else:
            self._items[bot_id] = deque([item])
            self._enlist(bot_id)

    def bots(self) -> Iterator[int]:
        """Return the bots for which something waits, the one that holds the fewest places first."""
        for held in sorted(self._bots):
            yield from self._bots[held]

    def first(self, bot_id: int) -> Item:
        return self._items[bot_id][0]

    def pop(self, bot_id: int) -> Item:
        """Take out a bot's first item; it goes behind the bots that hold as many places."""
        items = self._items[bot_id]
        item = items.popleft()
        self._delist(bot_id)
        if items:
            self._enlist(bot_id)
        else:
            del self._items[bot_id]
        return item

    def held_changed(self, bot_id: int) -> None:
        if bot_id in self._items:
            self._delist(bot_id)
            self._enlist(bot_id)

    def clear(self) -> None:
        self._items.clear()
        self._held_of.clear()
        self._bots.clear()

    def _enlist(self, bot_id: int) -> None:
        held = self._held_of[bot_id] = self._held(bot_id)
        self._bots[held][bot_id] = None

    def _delist(self, bot_id: int) -> None:
        held = self._held_of.pop(bot_id)
        del self._bots[held][bot_id]
        if not self._bots[held]:
            del self._bots[held]
