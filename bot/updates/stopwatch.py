"""Counts the time that something runs, and calls back after so much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is to be made."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """The part of an event loop that knows the time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer: ...


@dataclass(slots=True, eq=False)
class Alarm:
    """A call to be made when the stopwatch has run for ``left_s`` more."""

    left_s: float
    callback: Callable[[], None]
    due_s: float = 0.0
    timer: Timer | None = None


class Stopwatch:
    """Stands still at first."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._alarms: list[Alarm] = []
        self._is_running = False

    def call_after(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Make a call when the stopwatch has run for so long from now on."""
        alarm = Alarm(seconds, callback)
        self._alarms.append(alarm)
        if self._is_running:
            self._begin(alarm)
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Do not make a call; nothing happens if it was made."""
        if alarm in self._alarms:
            self._alarms.remove(alarm)
            self._pause(alarm)

    def run(self, *, is_running: bool) -> None:
        """Let it run on, or stand still."""
        if is_running == self._is_running:
            return
        self._is_running = is_running
        for alarm in self._alarms:
            if is_running:
                self._begin(alarm)
            else:
                self._pause(alarm)

    def _begin(self, alarm: Alarm) -> None:
        alarm.due_s = self._timers.time() + alarm.left_s
        alarm.timer = self._timers.call_later(alarm.left_s, self._ring, alarm)

    def _pause(self, alarm: Alarm) -> None:
        if alarm.timer is not None:
            alarm.timer.cancel()
            alarm.timer = None
            alarm.left_s = max(0.0, alarm.due_s - self._timers.time())

    def _ring(self, alarm: Alarm) -> None:
        self._alarms.remove(alarm)
        alarm.callback()
