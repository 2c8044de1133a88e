"""An event loop in a thread of its own, for a task that would block that of the others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class OwnLoop:
    """Begins its thread when it is first used. It ends with the program: work that blocks cannot be ended before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Begin work there; the future is one of this loop. Cancelling it cancels the work, and waits for its end."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, args=(self._loop,), name=f"task {self._name}", daemon=True).start()
        return _Elsewhere(self._loop, work)

    def close(self) -> None:
        """End the thread as soon as its work lets it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.close()


class _Elsewhere(asyncio.Future[Any]):
    """The work of another loop: ``asyncio.wrap_future`` would call it done as soon as it was cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> None:
        here = asyncio.get_running_loop()
        super().__init__(loop=here)
        self._here = here
        self._there = loop
        self._task: asyncio.Task[Any] | None = None
        loop.call_soon_threadsafe(self._begin, work)

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - as the overridden
        """Ask the work to end; this is done when it has."""
        if self.done():
            return False
        _call(self._there, self._cancel_there)
        return True

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self._task = self._there.create_task(work)
        self._task.add_done_callback(lambda task: _call(self._here, lambda: self._take(task)))

    def _cancel_there(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _take(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed: the program ends
        loop.call_soon_threadsafe(work)
