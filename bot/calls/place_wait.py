"""How long an awaited call waits for its places; while its call is under way, its time is not counted."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TypeVar

from tempogram.engine.ports import Progress

Answer = TypeVar("Answer")

LAST_WAIT_S = 0.1
"""How long a call may still wait for its places when the program ends; untuned: one that has them needs less."""


class PlaceWait:
    """The wait of one caller.

    Args:
        wait_s: Time it may wait for places, that before each retry included; None: it waits until the message ends.
        call_s: Time in which a call surely ends. What takes longer counts as waiting again: its process has ended.
    """

    def __init__(self, *, wait_s: float | None, call_s: float) -> None:
        self._left_s = wait_s if wait_s is not None else inf
        self._call_s = call_s
        self._is_calling = False
        self._since_s: float | None = None  # of waiting, or of the call; None: the caller does not wait yet
        self._timeout: asyncio.Timeout | None = None

    async def until(self, future: asyncio.Future[Answer]) -> Answer:
        """Return what a future is filled with.

        Raises:
            TimeoutError: The message has waited for its places for too long, and still waits.
        """
        self._since_s = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(self._deadline_s(self._since_s)) as self._timeout:
            return await future

    def note(self, progress: Progress) -> None:
        """Count the time from here on as that of a call, or as waiting. See ``Results.expect``."""
        if progress.is_calling is self._is_calling:
            return
        self._is_calling = progress.is_calling
        if self._since_s is None or self._timeout is None:
            return
        at_s = asyncio.get_running_loop().time() - progress.age_ms / 1_000
        if self._is_calling:
            self._left_s -= max(0.0, at_s - self._since_s)
        self._since_s = at_s
        if not self._timeout.expired():
            self._timeout.reschedule(self._deadline_s(at_s))

    def hasten(self) -> None:
        """Let it wait ``LAST_WAIT_S`` at the most from now on; while its call is under way, that is not counted."""
        now_s = asyncio.get_running_loop().time()
        if self._since_s is not None and not self._is_calling:
            self._left_s, self._since_s = self._left_s - (now_s - self._since_s), now_s
        self._left_s = min(self._left_s, LAST_WAIT_S)
        if self._since_s is not None and self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._deadline_s(self._since_s))

    def _deadline_s(self, since_s: float) -> float | None:
        if self._left_s == inf:
            return None
        return since_s + max(0.0, self._left_s) + (self._call_s if self._is_calling else 0.0)
