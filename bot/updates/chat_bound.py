"""Bounds what is under way in one chat, so that a full group leaves room to the other chats of its bot."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")

PART_OF_FREE = 16
"""A chat has at most one of so many that are free: 117 of 2,000 if it is alone; 22 full groups leave a quarter."""


class ChatBound(Generic[Item]):
    """Holds back the items of a chat while too many of it are under way; the next follows when one has ended.

    The bound sinks with what is free, so that any number of full chats leaves some. One item is always admitted.

    Args:
        free: Tells how many more may be under way in all chats.
    """

    def __init__(self, free: Callable[[], int]) -> None:
        self._free = free
        self._admitted: Counter[Hashable] = Counter()
        self._held_back: defaultdict[Hashable, deque[Item]] = defaultdict(deque)

    def admit(self, chat: Hashable, item: Item) -> bool:
        """Return whether the item may go now; if not, a later ``release`` returns it."""
        if chat not in self._held_back and self._has_room(chat):
            self._admitted[chat] += 1
            return True
        self._held_back[chat].append(item)
        return False

    def release(self, chat: Hashable) -> list[Item]:
        """Have one less under way; return what may go now."""
        self._admitted[chat] -= 1
        if not self._admitted[chat]:
            del self._admitted[chat]
        admitted = []
        while chat in self._held_back and self._has_room(chat):
            self._admitted[chat] += 1
            admitted.append(self._pop(chat))
        return admitted

    def _has_room(self, chat: Hashable) -> bool:
        return self._admitted[chat] < max(1, self._free() // PART_OF_FREE)

    def _pop(self, chat: Hashable) -> Item:
        held_back = self._held_back[chat]
        item = held_back.popleft()
        if not held_back:
            del self._held_back[chat]
        return item
