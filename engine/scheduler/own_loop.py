"""An event loop in a thread of its own, for a task that would block that of the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class OwnLoop:
    """Begins its thread when it is first used. It ends with the program: work that blocks cannot be ended before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Begin work there; the future is one of this loop, and cancelling it cancels the work."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, args=(self._loop,), name=f"task {self._name}", daemon=True).start()
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """End the thread as soon as its work lets it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.close()
