"""An event loop whose time passes when nothing is left to do: hours of sleeping take no time.

Only what waits in the loop itself may be used: timers, futures, queues. Threads and sockets know nothing of this time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.fakes import START_MS

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting it lets the time pass."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits for something that never comes")
        if not ready and timeout is not None:
            self.passed_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed_s


class LoopClock:
    """Milliseconds since the epoch in the virtual time; a process's clock may be off."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.off_ms = 0

    def __call__(self) -> int:
        return START_MS + round(self._loop.time() * 1_000) + self.off_ms


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run work to its end in a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
