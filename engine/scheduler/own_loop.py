"""Work in a thread of its own, where it blocks no other: an event loop for a coroutine, or a plain function."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class Afar(asyncio.Future[Any]):
    """What comes of work elsewhere. Cancelling it asks the work to end; it is done once that has ended."""

    ask_to_end: Callable[[], object] | None = None
    """None: the work cannot be asked."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - as asyncio calls it
        if self.done():
            return False
        if self.ask_to_end is not None:
            self.ask_to_end()
        return True

    def follow(self, work: asyncio.Future[Any]) -> None:
        """Be done as work of this loop is, once it is done."""
        self.ask_to_end = work.cancel
        work.add_done_callback(self.end_as)

    def end_as(self, task: asyncio.Future[Any]) -> None:
        """Be done as work is that has ended."""
        if self.done():
            return
        if task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


class OwnLoop:
    """Begins its thread when it is first used. It ends with the program: work that blocks cannot be ended before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Begin work there; the future is one of this loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, args=(self._loop,), name=f"task {self._name}", daemon=True).start()
        here, there = asyncio.get_running_loop(), self._loop
        afar = Afar(loop=here)
        is_ended = False
        begun: asyncio.Task[Any] | None = None

        def begin() -> None:
            nonlocal begun
            begun = there.create_task(work)
            begun.add_done_callback(lambda task: _call_in(here, afar.end_as, task))
            if is_ended:
                begun.cancel()

        def end() -> None:
            nonlocal is_ended
            is_ended = True
            if begun is not None:
                begun.cancel()

        afar.ask_to_end = lambda: _call_in(there, end)
        there.call_soon_threadsafe(begin)
        return afar

    def close(self) -> None:
        """End the thread as soon as its work lets it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.close()


def in_thread(name: str, work: Callable[[], Any]) -> asyncio.Future[Any]:
    """Call a plain function in a thread of its own, in which no event loop runs.

    What it returns is awaited in this loop if it can be: a lambda may return a coroutine of a function that uses what
    belongs here.
    """
    here = asyncio.get_running_loop()
    afar = Afar(loop=here)

    def call() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the future is awaited
            _call_in(here, _fail, afar, error)
        else:
            _call_in(here, _end, afar, result)

    threading.Thread(target=call, name=f"task {name}", daemon=True).start()
    return afar


def _end(afar: Afar, result: Any) -> None:
    if isinstance(result, Awaitable):
        afar.follow(asyncio.ensure_future(result))
    else:
        afar.set_result(result)


def _fail(afar: Afar, error: BaseException) -> None:
    afar.set_exception(error if isinstance(error, Exception) else RuntimeError(f"it raised {type(error).__name__}"))


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call a function in another thread's loop, unless that has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
