"""One run of a task: its attempts, its time limit, and what came of it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from tempogram.engine.model.errors import EngineError
from tempogram.engine.ports.task_store import RunResult
from tempogram.engine.scheduler.own_loop import OwnLoop, in_thread
from tempogram.engine.scheduler.task import Next, Task

log = structlog.get_logger()

GRACE_S = 1.0
"""How long a cancelled task may take to end before it is named. untuned: closing connections takes less."""

RETRY_S = 1.0
RETRY_S_MAX = 60.0

ERROR_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a run.

    Attributes:
        error: In one line; empty if it is done.
        next: When the task said it wants to run next.
        leftover: The attempt goes on though it was cancelled: until it ends, the task does not run again.
    """

    result: RunResult
    attempts: int = 1
    error: str = ""
    next: Next = None
    leftover: asyncio.Future[Any] | None = None


class TaskExit(Exception):
    """A task would have ended the program."""


class Run:
    """One run, from its beginning to its end.

    Args:
        own_loop: Where it runs; None: in the event loop of all.
    """

    def __init__(self, task: Task, run_id: str, due_ms: int, *, own_loop: OwnLoop | None = None) -> None:
        self.task = task
        self.run_id = run_id
        self.due_ms = due_ms
        self._own_loop = own_loop
        self._cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Future[Any] | None = None
        self._why = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it goes on."""
        return self._work is None or self._work.done()

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.done()

    def cancel(self, why: str) -> None:
        """End it; its attempt is cancelled, and it is not tried again."""
        if not self.is_cancelled:
            self._why = why
            self._cancelled.set_result(None)

    async def over(self) -> None:
        """Cancel its attempt, and wait a moment for its end."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait((self._work,), timeout=GRACE_S)

    async def carry_out(self) -> Ended:
        """Do the work, again if it fails and may be tried again."""
        for attempt in range(1, self.task.max_retries + 2):
            ended = await self._attempt(attempt)
            if ended.result not in {RunResult.FAILED, RunResult.TIMED_OUT} or ended.leftover is not None:
                break
            if attempt <= self.task.max_retries and not await self._pause(
                min(RETRY_S_MAX, RETRY_S * 2 ** (attempt - 1))
            ):
                break
        return ended

    async def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return False if the run was cancelled meanwhile."""
        await asyncio.wait((self._cancelled,), timeout=seconds)
        return not self.is_cancelled

    async def _attempt(self, attempt: int) -> Ended:
        try:
            work = self._work = self._begin()
        except RuntimeError as error:  # no thread can be started
            return Ended(RunResult.FAILED, attempt, writable(f"{type(error).__name__}: {error}"))
        try:
            timeout_s = self.task.timeout_ms / 1_000
            await asyncio.wait((work, self._cancelled), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _ended(self.task.name, work, attempt)
            if self.is_cancelled:
                result, why = RunResult.CANCELLED, self._why
            else:
                result, why = RunResult.TIMED_OUT, f"it took longer than {timeout_s:g} s"
            work.cancel()
            await asyncio.wait((work,), timeout=GRACE_S)
        finally:
            if not work.done():
                work.cancel()
        if work.done():
            _note_end(work)
            return Ended(result, attempt, why)
        log.warning("task_ignores_cancellation", task=self.task.name, run_id=self.run_id, reason=why)
        return Ended(result, attempt, why, leftover=work)

    def _begin(self) -> asyncio.Future[Any]:
        if not is_async(self.task.work):
            return in_thread(self.task.name, self.task.work)
        if self._own_loop is not None:
            return self._own_loop.begin(called(self.task.name, self.task.work))
        coroutine = called(self.task.name, self.task.work)
        return asyncio.create_task(coroutine, name=f"task {self.task.name}", context=contextvars.Context())


async def called(task_name: str, work: Callable[[], Any]) -> Any:  # noqa: ARG001 - the watchdog reads the name
    """Call the work of a task. The watchdog knows by this function's frame which task blocks a loop."""
    try:
        return await work()
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the program, and the tasks of all with it
        raise TaskExit(f"{type(error).__name__}: {error}") from error


def is_async(work: Callable[[], Any]) -> bool:
    """Tell whether work can share an event loop: a plain function would block it."""
    return inspect.iscoroutinefunction(inspect.unwrap(work)) or inspect.iscoroutinefunction(
        getattr(work, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


def writable(text: str) -> str:
    r"""Return the beginning of a text without what PostgreSQL refuses: NUL, and halves of characters.

    >>> writable("ValueError: a\x00b")
    'ValueError: a?b'
    """
    return text[:ERROR_LENGTH_MAX].replace("\x00", "?").encode("utf-8", "replace").decode()


def _ended(name: str, task: asyncio.Future[Any], attempt: int) -> Ended:
    if task.cancelled():
        return Ended(RunResult.FAILED, attempt, "CancelledError: something that it awaited was cancelled")
    error = task.exception()
    if error is None:
        return Ended(RunResult.DONE, attempt, next=task.result())
    reason = writable(f"{type(error).__name__}: {error}")
    traceback = None if isinstance(error, EngineError) else error
    log.warning("task_attempt_failed", task=name, attempt=attempt, reason=reason, exc_info=traceback)
    return Ended(RunResult.FAILED, attempt, reason)


def _note_end(task: asyncio.Future[Any]) -> None:
    """Take the exception of work that was cancelled, so that it is not reported as never retrieved."""
    if not task.cancelled():
        task.exception()
