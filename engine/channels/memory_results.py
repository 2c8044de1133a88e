"""The results channel of a single process: callers in it wait for what its own workers publish."""

from __future__ import annotations

import asyncio

from tempogram.engine.ports.results import OnProgress, Progress, Result


class MemoryResults:
    """See ``Results``."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[asyncio.Future[Result], OnProgress | None]]] = {}

    def expect(self, message_id: str, on_progress: OnProgress | None = None) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(message_id, []).append((future, on_progress))
        return future

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        left = [waiter for waiter in self._waiting.pop(message_id, ()) if waiter[0] is not future]
        if left:
            self._waiting[message_id] = left

    async def publish(self, result: Result) -> None:
        for future, _ in self._waiting.pop(result.message_id, ()):
            if not future.done():
                future.set_result(result)

    def call_begins(self, message_id: str) -> None:
        if message_id in self._waiting:
            self.note(Progress(message_id, is_calling=True))

    def waits_again(self, message_id: str) -> None:
        if message_id in self._waiting:
            self.note(Progress(message_id, is_calling=False))

    def note(self, progress: Progress) -> None:
        for _, on_progress in self._waiting.get(progress.message_id, ()):
            if on_progress is not None:
                on_progress(progress)
