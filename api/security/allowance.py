"""So many at once for each key, and then one after a time: for what is tried out."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from tempogram.engine.ports import Clock

KEYS_MAX = 10_000
"""Keys that are remembered, the oldest forgotten first: some 3 MB."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Allowance:
    """Keeps when all places of a key are free again.

    Args:
        at_once: Places of a key.
        every_ms: After how long one that was taken is free again, one after the other.
    """

    def __init__(self, *, at_once: int, every_ms: int, clock: Clock) -> None:
        self._at_once = at_once
        self._every_ms = every_ms
        self._clock = clock
        self._free_at_ms: dict[Hashable, int] = {}

    def is_free(self, key: Hashable) -> bool:
        return self.wait_ms(key) == 0

    def wait_ms(self, key: Hashable) -> int:
        """Return in how many milliseconds a place is free."""
        taken_ms = self._free_at_ms.get(key, 0) - self._clock()
        return max(0, taken_ms - (self._at_once - 1) * self._every_ms)

    def take(self, key: Hashable) -> None:
        """Take a place, whether one is free or not."""
        keep(self._free_at_ms, key, max(self._free_at_ms.get(key, 0), self._clock()) + self._every_ms)

    def give_back(self, key: Hashable) -> None:
        """Give a place back that was taken."""
        if key in self._free_at_ms:
            self._free_at_ms[key] -= self._every_ms


def keep(kept: dict[Key, Value], key: Key, value: Value, *, keys_max: int | None = None) -> None:
    """Put an entry last, and forget the first one of too many."""
    kept.pop(key, None)
    if len(kept) >= (keys_max or KEYS_MAX):
        del kept[next(iter(kept))]
    kept[key] = value
