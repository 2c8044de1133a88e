"""Notices when a task blocks the event loop of the others, and names it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import structlog

from tempogram.engine.scheduler.run import called

log = structlog.get_logger()

CHECK_S = 0.25
BLOCKED_S = 1.0
"""From when on a loop counts as blocked. untuned: what shares the loop is late by as much."""

FRAMES_MAX = 200


class Watchdog:
    """A thread that watches one event loop while runs are under way in it.

    Args:
        blocks: Is called in the loop, once it goes on, with the name of the task that has blocked it.
    """

    def __init__(self, blocks: Callable[[str], None]) -> None:
        self._blocks = blocks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._beat_s = 0.0
        self._runs = 0
        self._is_beating = False
        self._ends = threading.Event()
        self._busy = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop that runs here until the block ends."""
        self._loop, self._thread_id = asyncio.get_running_loop(), threading.get_ident()
        thread = threading.Thread(target=self._watch, name="task watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            self._busy.set()

    def begin(self) -> None:
        """Say that a run has begun in the loop."""
        self._runs += 1
        self._beat_s = time.monotonic()
        self._busy.set()
        if not self._is_beating:
            self._beat()

    def end(self) -> None:
        """Say that one has ended."""
        self._runs -= 1
        if not self._runs:
            self._busy.clear()

    def _beat(self) -> None:
        self._is_beating = self._runs > 0
        if self._is_beating and self._loop is not None:
            self._beat_s = time.monotonic()
            self._loop.call_later(CHECK_S, self._beat)

    def _watch(self) -> None:
        named_s = 0.0
        while not self._ends.is_set():
            self._busy.wait()
            time.sleep(CHECK_S)
            beat_s = self._beat_s
            if self._busy.is_set() and time.monotonic() - beat_s > BLOCKED_S and named_s != beat_s:
                self._name()
                named_s = beat_s

    def _name(self) -> None:
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the way that faulthandler and pdb go, too
        name, at = _blocking(frame)
        if name is None or self._loop is None:
            return
        log.warning("task_blocks_loop", task=name, seconds=BLOCKED_S, at=at)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._blocks, name)


def _blocking(frame: FrameType | None) -> tuple[str | None, str]:
    """Return which task a thread is in, and where; None if it is in none."""
    at = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
    for _ in range(FRAMES_MAX):
        if frame is None:
            break
        if frame.f_code is called.__code__:
            return frame.f_locals.get("task_name"), at
        frame = frame.f_back
    return None, at
