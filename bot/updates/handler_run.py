"""One run of a handler: its place, its time, and the waits of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, TypeVar

from aiogram.dispatcher.event.handler import CallableObject

from tempogram.bot.updates.stopwatch import Stopwatch, Timers

Answer = TypeVar("Answer")


class HandlerTimeout(Exception):
    """A handler has run for longer than it may."""

    def __init__(self, handler: str, timeout_s: float) -> None:
        super().__init__(f"its handler {handler} ran longer than {timeout_s:g} s")
        self.handler = handler
        self.timeout_s = timeout_s


class Places(Protocol):
    """Where a run has its place from."""

    def give_back(self, run: HandlerRun) -> None:
        """Give a run's place to another."""

    def take_again(self, run: HandlerRun) -> None:
        """Give a run a place again: it is never refused, as others may wait for just what it does next."""


class HandlerRun:
    """One run of a handler, from its start to its end.

    While a call of it waits for the queue, it holds no place, and its time stands still. With several calls at once it
    has its place back when the last of them has returned.

    Args:
        timeout_s: Time it may run; None: for ever.
    """

    def __init__(self, bot_id: int, *, places: Places, timers: Timers, timeout_s: float | None = None) -> None:
        self.bot_id = bot_id
        self.stopwatch = Stopwatch(timers)
        self.holds_place = True
        self.has_ended = False
        self.waiting_calls = 0
        self.task: asyncio.Task[None] | None = None
        self._places = places
        self._timeout_s = timeout_s
        self._has_timed_out = False
        self._is_paused = False

    @contextmanager
    def waiting_for_queue(self) -> Iterator[None]:
        """Give the place back until the block ends."""
        self._begin_wait()
        try:
            yield
        finally:
            self._end_wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count no time inside the block; the place is kept."""
        self._is_paused = True
        self._keep_time()
        try:
            yield
        finally:
            self._is_paused = False
            self._keep_time()

    async def within_timeout(self, work: Awaitable[Answer]) -> Answer:
        """Return what a handler returns.

        Raises:
            HandlerTimeout: It ran for too long, and was cancelled.
        """
        if self._timeout_s is None:
            return await work
        alarm = self.stopwatch.call_after(self._timeout_s, self._time_out)
        try:
            return await work
        except asyncio.CancelledError as error:
            if not self._withdraw_timeout():
                raise
            raise HandlerTimeout(name_of_handler(error.__traceback__), self._timeout_s) from None
        finally:
            self.stopwatch.cancel(alarm)
            self._withdraw_timeout()

    def start(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self._keep_time()

    def end(self) -> None:
        self.has_ended = True
        self._keep_time()

    def cancel(self) -> None:
        """Cancel it if it only waits for the queue."""
        if self.task is not None and self.waiting_calls and not self.has_ended:
            self.task.cancel()

    def _begin_wait(self) -> None:
        self.waiting_calls += 1
        if self.holds_place and not self.has_ended:
            self.holds_place = False
            self._keep_time()
            self._places.give_back(self)

    def _end_wait(self) -> None:
        self.waiting_calls -= 1
        if self.waiting_calls or self.holds_place or self.has_ended:
            return
        self._places.take_again(self)
        self.holds_place = True
        self._keep_time()

    def _keep_time(self) -> None:
        self.stopwatch.run(is_running=self.holds_place and not self._is_paused and not self.has_ended)

    def _time_out(self) -> None:
        if self.task is not None:
            self._has_timed_out = True
            self.task.cancel()

    def _withdraw_timeout(self) -> bool:
        """Take back the request to cancel; return whether it was there, and no other is."""
        if not self._has_timed_out or self.task is None:
            return False
        self._has_timed_out = False
        return self.task.uncancel() == 0


def name_of_handler(traceback: TracebackType | None) -> str:
    """Return the name of the handler, or filter, that aiogram had called last when an error was raised.

    >>> name_of_handler(None)
    'unknown'
    """
    callbacks: list[Callable[..., object]] = []
    while traceback is not None:
        if traceback.tb_frame.f_code is CallableObject.call.__code__:
            callbacks.append(traceback.tb_frame.f_locals["self"].callback)
        traceback = traceback.tb_next
    return _name(callbacks[-1]) if callbacks else "unknown"


def _name(callback: Callable[..., object]) -> str:
    named = callback if hasattr(callback, "__qualname__") else type(callback)
    return f"{named.__module__}.{named.__qualname__}"
