"""An answer whose body is still being read: its call keeps its places until it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class OpenAnswer:
    """What is between a client that reads a body, and the services that wait for its end.

    Both may be in event loops of their own, in different threads.

    Args:
        cut: Ends the reading with an error, which is the services' own: the call is overdue, or its place is lost.
    """

    def __init__(self, cut: Callable[[Exception], None]) -> None:
        self._cut = cut
        self._reading_in = asyncio.get_running_loop()
        self._end: Callable[[], None] | None = None
        self._waiting_in: asyncio.AbstractEventLoop | None = None
        self.is_over = False
        self.is_failure = False
        self.read: Any = None

    def end(self, *, is_failure: bool = False, read: Any = None) -> None:
        """Say that no more is read; only the first time counts.

        Args:
            is_failure: The service, or the way to it, broke off.
            read: What tells what the call cost; None: nothing does.
        """
        if not self.is_over:
            self.is_over, self.is_failure, self.read = True, is_failure, read
            if self._end is not None and self._waiting_in is not None:
                _in(self._waiting_in, self._end)

    def cut(self, error: Exception) -> None:
        """End the reading, soon."""
        if self._reading_in.is_closed():
            self.end()
        else:
            self._reading_in.call_soon_threadsafe(self._cut, error)

    def when_over(self, end: Callable[[], None]) -> None:
        """Have a function called in this loop when no more is read."""
        if self.is_over:
            end()
        else:
            self._end, self._waiting_in = end, asyncio.get_running_loop()


def _in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:  # a response that is thrown away after its loop
        is_here = False
    if is_here:
        function()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(function)
