"""How Python's garbage collector is set, so that a long queue does not make the program stand still.

Whenever Python has made a quarter more objects it looks at all there are, which with a million messages waiting
takes more than a second, in which nothing is sent. Messages need no collector; so with much in memory each
object is looked at once, and then left alone (*frozen*) until there is less.

What then becomes garbage in a circle stays until that time: at most what was under way at each such look.
"""

from __future__ import annotations

import gc
import sys

BLOCKS_LOOKED_AT_MAX = 1_200_000
"""Pieces of memory up to which all is looked at as ever: about 0.15 s, and half more than an idle program. A guess."""

YOUNG_MAX = 5_000
"""New objects before the young ones are looked at; Python's own 700 are some thirty messages. A guess."""

OLDEST = 2


class GcTuning:
    """Freezes what was looked at while there is much, and looks at all of it once when there is less again."""

    def __init__(self) -> None:
        self._is_much = False
        self._thresholds = gc.get_threshold()

    def install(self) -> None:
        """Set it for the whole process. What lives by now lives to the end: it is not looked at, which took 0.3 s."""
        gc.callbacks.append(self._at_a_collection)
        gc.set_threshold(YOUNG_MAX, *self._thresholds[1:])
        gc.freeze()
        gc.enable()

    def remove(self) -> None:
        """Leave it as Python sets it."""
        gc.callbacks.remove(self._at_a_collection)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _at_a_collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != OLDEST:
            return
        was_much, self._is_much = self._is_much, sys.getallocatedblocks() > BLOCKS_LOOKED_AT_MAX
        if phase == "start" and was_much and not self._is_much:
            gc.unfreeze()
            self._is_much = True  # until it was looked at
        elif phase == "stop" and (was_much or self._is_much):
            gc.freeze()
