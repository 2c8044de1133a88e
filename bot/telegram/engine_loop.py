"""The event loop in which the engine runs: a call that is made in another loop or thread runs there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")

HAS_ENDED = "the event loop of Tempogram has ended; make calls while it runs"


class EngineLoop:
    """The loop that runs when this is made; none in a test that has no loop yet, where every loop will do."""

    def __init__(self) -> None:
        self._loop = _running_loop()

    @property
    def is_here(self) -> bool:
        """Tell whether the caller already runs in the engine's loop."""
        return self._loop is None or asyncio.get_running_loop() is self._loop

    @property
    def has_ended(self) -> bool:
        return self._loop is not None and not self._loop.is_running()

    async def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine in the engine's loop, with the caller's context variables, and return what it returns.

        Raises:
            RuntimeError: The engine's loop runs no more; otherwise the caller would wait for ever.
        """
        if self._loop is None or self.is_here:
            return await work
        if self.has_ended:
            work.close()
            raise RuntimeError(HAS_ENDED)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
