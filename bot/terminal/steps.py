"""What a start does just now: a line for each step that takes more than a moment.

Imports nothing else of this program, because importing it is the first step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN_AFTER_S = 0.7
"""untuned: a person takes a shorter step for none."""

Say = Callable[[str], object]

IMPORTING = "imports its modules"

_say: Say | None = None


def show(say: Say | None) -> None:
    """Write steps by ``say`` from now on, each once; None: nowhere, which costs nothing."""
    global _say  # noqa: PLW0603 - a process starts once, and its start passes through many modules
    said: set[str] = set()

    def say_once(line: str) -> None:
        if say is not None and line not in said:
            said.add(line)
            say(line)

    _say = None if say is None else say_once


@contextmanager
def step(what: str, *, after_s: float = SHOWN_AFTER_S) -> Iterator[None]:
    """Say what is done in this block, in the words of "Tempogram …", once it has taken ``after_s``."""
    say = _say
    if say is None:
        yield
        return
    timer = threading.Timer(after_s, say, [f"  … {what}\n"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
