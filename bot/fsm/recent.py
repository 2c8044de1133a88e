"""What an update has read: its state and data are read once, at the same time, and given to its handlers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from aiogram.fsm.storage.base import StorageKey

from tempogram.engine.ports import Clock
from tempogram.storage.fsm.rows import Content, Run

FRESH_MS = 1_000
"""An update is given what it read for so long; meanwhile another process hardly handles an update of the same key."""

KEYS_MAX = 1_000
"""Untuned: more than there are handlers at once."""


@dataclass(slots=True, eq=False)
class Slot:
    """What one run is about to know of a key, and knows until a time. None: not yet."""

    run: Run | None
    content: Content | None = None
    until_ms: int = 0


class RecentContents:
    """Keeps the content of a key for the run that read or wrote it last, and for no other.

    Whatever begins to read or write a key in this process ends what was kept of it. So only what another process
    writes is noticed late, ``FRESH_MS`` at most, and only by an update that read the key before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: OrderedDict[StorageKey, Slot] = OrderedDict()

    def get(self, key: StorageKey, run: Run | None) -> Content | None:
        slot = self._slots.get(key)
        is_own = slot is not None and run is not None and slot.run == run
        return slot.content if is_own and slot is not None and self._clock() < slot.until_ms else None

    def begin(self, key: StorageKey, run: Run | None) -> Slot:
        """Begin to read or write a key."""
        slot = self._slots[key] = Slot(run)
        self._slots.move_to_end(key)
        if len(self._slots) > KEYS_MAX:
            self._slots.popitem(last=False)
        return slot

    def finish(self, key: StorageKey, slot: Slot, content: Content) -> None:
        """Keep what was read or written, unless the key was read or written meanwhile: then it may have changed."""
        if self._slots.get(key) is slot:
            slot.content, slot.until_ms = content, self._clock() + FRESH_MS
        else:
            self._slots.pop(key, None)
