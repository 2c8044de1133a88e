"""Timers whose time passes when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engine.desk import turns


@dataclass(eq=False)
class HandTimer:
    due_s: float
    call: Callable[[], Any]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandTimers:
    """See ``Timers``."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._timers: list[HandTimer] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> HandTimer:
        timer = HandTimer(self.now_s + delay, lambda: callback(*args))
        self._timers.append(timer)
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass, and all tasks run after each timer that is due."""
        until_s = self.now_s + seconds
        await turns()
        while (timer := self._next(until_s)) is not None:
            self._timers.remove(timer)
            self.now_s = max(self.now_s, timer.due_s)
            timer.call()
            await turns()
        self.now_s = until_s

    async def settle(self) -> None:
        """Let everything happen that is due now."""
        await self.advance(0)

    def _next(self, until_s: float) -> HandTimer | None:
        self._timers = [timer for timer in self._timers if not timer.is_cancelled]
        due = [timer for timer in self._timers if timer.due_s <= until_s]
        return min(due, key=lambda timer: timer.due_s, default=None)
