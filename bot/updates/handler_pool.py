"""Runs a bounded number of handlers, one after another for each chat."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import structlog

log = structlog.get_logger()

APART_S = 0.002
"""Between two starts: 500 a second, about what one process can handle. Untuned; ``bench.awaited`` depends on it."""

Job = Callable[[], Awaitable[None]]


class HandlerPool:
    """Runs at most ``size`` jobs at once, and the jobs of one key in the order of their submission.

    A key that has jobs has one task, which ends with its last job: thousands of idle chats cost nothing.
    """

    def __init__(self, *, size: int, waiting_max: int, apart_s: float = APART_S) -> None:
        self._slots = asyncio.Semaphore(size)
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
        """Wait until every job has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, key: Hashable) -> None:
        jobs = self._jobs[key]
        while jobs:
            async with self._slots:
                await self._space_starts()
                job = jobs.popleft()
                self._waiting -= 1
                await self._do(job)
        del self._jobs[key]

    async def _space_starts(self) -> None:
        """Space the starts of jobs: a crowd of them must not delay the answer to a webhook."""
        await self._starting.acquire()
        asyncio.get_running_loop().call_later(self._apart_s, self._starting.release)

    @staticmethod
    async def _do(job: Job) -> None:
        """Run one job; an error in it does not stop the jobs behind it."""
        try:
            await job()
        except asyncio.CancelledError:
            if is_ending():
                raise
            log.warning("job_cancelled")
        except Exception:
            log.exception("job_failed")


def is_ending() -> bool:
    """Tell whether the current task itself is cancelled, and not only something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
