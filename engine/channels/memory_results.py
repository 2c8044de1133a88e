"""The results channel of a single process: callers in it wait for what its own workers publish."""

from __future__ import annotations

import asyncio

from tempogram.engine.ports.results import Result


class MemoryResults:
    """See ``Results``."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[Result]]] = {}

    def expect(self, message_id: str) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(message_id, []).append(future)
        return future

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        futures = self._waiting.get(message_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(message_id, None)

    async def publish(self, result: Result) -> None:
        for future in self._waiting.pop(result.message_id, ()):
            if not future.done():
                future.set_result(result)
