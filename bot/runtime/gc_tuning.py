"""Tunes Python's garbage collector, so that a long queue does not stop the program for a second.

Whenever the number of objects has grown by a quarter, Python collects all of them, which takes more than a second with
a million waiting messages, and nothing is sent meanwhile. Messages need no garbage collection. So while memory is
large, each object is collected once and then frozen until memory is smaller.

Cyclic garbage among frozen objects stays until then: at most what was under way at each collection.
"""

from __future__ import annotations

import gc
import sys

BLOCKS_COLLECTED_MAX = 1_200_000
"""Memory blocks up to which nothing is frozen: a collection takes 0.15 s; untuned: half more than an idle program."""

YOUNG_MAX = 5_000
"""New objects before a young collection; untuned: Python's default of 700 is only some thirty messages."""

OLDEST = 2


class GcTuning:
    """Freezes the survivors of a collection while memory is large, and collects them once it is smaller again."""

    def __init__(self) -> None:
        self._is_much = False
        self._thresholds = gc.get_threshold()

    def install(self) -> None:
        """Set the thresholds for the whole process, and freeze what exists: collecting that took 0.3 s each time."""
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
        was_much, self._is_much = self._is_much, sys.getallocatedblocks() > BLOCKS_COLLECTED_MAX
        if phase == "start" and was_much and not self._is_much:
            gc.unfreeze()
            self._is_much = True  # until it was collected
        elif phase == "stop" and (was_much or self._is_much):
            gc.freeze()
