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
        self._cancelled = asyncio.Event()
        self._why = ""

    def cancel(self, why: str) -> None:
        """End it; its attempt is cancelled, and it is not tried again."""
        self._why = self._why or why
        self._cancelled.set()

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
        try:
            async with asyncio.timeout(seconds):
                await self._cancelled.wait()
        except TimeoutError:
            return True
        return False

    async def _attempt(self, attempt: int) -> Ended:
        try:
            work = self._begin()
        except RuntimeError as error:  # no thread can be started
            return Ended(RunResult.FAILED, attempt, _in_words(error))
        cancelled = asyncio.create_task(self._cancelled.wait())
        try:
            timeout_s = self.task.timeout_ms / 1_000
            await asyncio.wait((work, cancelled), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _ended(self.task.name, work, attempt)
            if self._cancelled.is_set():
                result, why = RunResult.CANCELLED, self._why
            else:
                result, why = RunResult.TIMED_OUT, f"it took longer than {timeout_s:g} s"
            work.cancel()
            await asyncio.wait((work,), timeout=GRACE_S)
        finally:
            cancelled.cancel()
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
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the loop of all with it
        raise RuntimeError(f"it raised {type(error).__name__}") from error


def is_async(work: Callable[[], Any]) -> bool:
    """Tell whether work can share an event loop: a plain function would block it."""
    return inspect.iscoroutinefunction(inspect.unwrap(work)) or inspect.iscoroutinefunction(
        getattr(work, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


def _ended(name: str, task: asyncio.Future[Any], attempt: int) -> Ended:
    if task.cancelled():
        return Ended(RunResult.FAILED, attempt, "CancelledError: something that it awaited was cancelled")
    error = task.exception()
    if error is None:
        return Ended(RunResult.DONE, attempt, next=task.result())
    reason = _in_words(error)
    traceback = None if isinstance(error, EngineError) else error
    log.warning("task_attempt_failed", task=name, attempt=attempt, reason=reason, exc_info=traceback)
    return Ended(RunResult.FAILED, attempt, reason)


def _in_words(error: BaseException) -> str:
    r"""Return an error in a line that every database takes: PostgreSQL refuses NUL, and UTF-8 half a surrogate pair.

    >>> _in_words(ValueError("no \0 and no \udc80"))
    'ValueError: no \\x00 and no \\udc80'
    """
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - an error of a user's own
        said = "it cannot be shown"
    text = f"{type(error).__name__}: {said}"[:ERROR_LENGTH_MAX]
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _note_end(task: asyncio.Future[Any]) -> None:
    """Take the exception of work that was cancelled, so that it is not reported as never retrieved."""
    if not task.cancelled():
        task.exception()
