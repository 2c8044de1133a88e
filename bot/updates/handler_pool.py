"""Runs handlers: bounded over all, one after another for each chat."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import structlog

log = structlog.get_logger()

APART_S = 0.002
"""Between two starts: 500 a second, about what one process can handle. A guess; ``bench.awaited`` is what it serves."""

Job = Callable[[], Awaitable[None]]


class HandlerPool:
    """At most ``size`` jobs at once; jobs of one key in the order in which they came.

    A key that has jobs has one task, which ends with its last job: thousands of
    chats at rest cost nothing.
    """

    def __init__(self, *, size: int, waiting_max: int, apart_s: float = APART_S) -> None:
        self._places = asyncio.Semaphore(size)
        self._starting = asyncio.Lock()
        self._apart_s = apart_s
        self._waiting_max = waiting_max
        self._waiting = 0
        self._jobs: dict[Hashable, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        return self._waiting >= self._waiting_max

    def submit(self, key: Hashable, job: Job) -> None:
        self._waiting += 1
        if key in self._jobs:
            self._jobs[key].append(job)
            return
        self._jobs[key] = deque([job])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, key: Hashable) -> None:
        jobs = self._jobs[key]
        while jobs:
            async with self._places:
                await self._turn()
                job = jobs.popleft()
                self._waiting -= 1
                await self._do(job)
        del self._jobs[key]

    async def _turn(self) -> None:
        """Start jobs a little apart: a crowd of them must not keep a webhook from its answer."""
        await self._starting.acquire()
        asyncio.get_running_loop().call_later(self._apart_s, self._starting.release)

    @staticmethod
    async def _do(job: Job) -> None:
        """Run one job; whatever it raises, those behind it have their turn."""
        try:
            await job()
        except asyncio.CancelledError:
            if is_ending():
                raise
            log.warning("job was cancelled from within")
        except Exception:
            log.exception("job failed")


def is_ending() -> bool:
    """Tell whether this very task is cancelled, and not only something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
