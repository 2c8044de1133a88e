"""Tunes Python's garbage collector, so that nothing stops the program for a second.

Whenever the number of objects that may be part of a cycle has grown by a quarter, Python looks at all of them. Waiting
messages are none of them (see ``brokers/memory/lanes``), and what exists at the start is frozen: looking at that took
0.3 s each time. What remains are some ten thousand objects, and some ms.

Where there are many all the same, a hundred thousand callers that wait for their messages, each is looked at once and
then frozen until memory is smaller. Cyclic garbage among frozen objects stays until then.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

SLOW_S = 0.05
"""CPU time of a full collection after which its survivors are frozen; untuned: longer than a slot, 1/30 s."""

SMALLER = 0.5
"""Share of the memory blocks at the freezing below which all is looked at again; untuned: it takes 0.3 s or more."""

YOUNG_MAX = 5_000
"""New objects before a young collection; untuned: Python's default of 700 is only some thirty messages."""

OLDEST = 2


class GcTuning:
    """Freezes the survivors of a slow collection, and looks at them again once memory is smaller."""

    def __init__(
        self, *, blocks: Callable[[], int] = sys.getallocatedblocks, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._blocks = blocks
        self._cpu_s = cpu_s
        self._began_s = 0.0
        self._blocks_frozen = 0
        self._thresholds = gc.get_threshold()

    def install(self) -> None:
        """Set the thresholds for the whole process, and freeze what exists."""
        gc.callbacks.append(self._at_a_collection)
        gc.set_threshold(YOUNG_MAX, *self._thresholds[1:])
        gc.freeze()
        gc.enable()

    def remove(self) -> None:
        """Restore Python's own thresholds."""
        gc.callbacks.remove(self._at_a_collection)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _at_a_collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != OLDEST:
            return
        if phase == "start":
            self._begin()
        elif self._cpu_s() - self._began_s > SLOW_S:
            gc.freeze()
            self._blocks_frozen = max(self._blocks_frozen, self._blocks())

    def _begin(self) -> None:
        if self._blocks() < SMALLER * self._blocks_frozen:
            gc.unfreeze()
            self._blocks_frozen = 0
        self._began_s = self._cpu_s()
