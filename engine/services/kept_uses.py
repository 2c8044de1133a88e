"""Has the database know of uses before the calls that they are of, and counts after a start what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.call_uses import CallUses
from tempogram.engine.services.memory_queue import COVER_MS
from tempogram.engine.services.meter import COUNTED_WITHIN_MS

log = structlog.get_logger()


class KeptUses:
    """Does what a queue of calls wants of the database, in tasks of its own.

    What the database refuses is wanted again a second later, while a call waits for it.

    Args:
        uses: None: a queue that keeps none wants nothing.
        cover: Gets a limiter, and how many of its units the database has.
        restore: Gets a limiter, and its uses.
    """

    def __init__(
        self,
        uses: CallUses | None,
        *,
        cover: Callable[[str, int], None],
        restore: Callable[[str, Sequence[tuple[int, int]]], None],
    ) -> None:
        self._uses = uses
        self._cover = cover
        self._restore = restore
        self._tasks: set[asyncio.Task[None]] = set()

    def want(self, name: str, units: int, *, now_ms: int, window_ms: int) -> None:
        """Have units of a limiter covered, or, if they are -1, its uses restored."""
        if self._uses is None:
            return
        work = (
            self._read(self._uses, name, now_ms - window_ms)
            if units < 0
            else self._write(self._uses, name, units, now_ms)
        )
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, uses: CallUses, name: str, units: int, now_ms: int) -> None:
        at_ms = now_ms + COVER_MS + COUNTED_WITHIN_MS  # the latest time at which the service can count them
        try:
            await uses.add([(name, at_ms, units)])
        except LedgerError as error:
            log.warning("call_uses_not_kept", limiter=name, reason=str(error))
        else:
            self._cover(name, units)

    async def _read(self, uses: CallUses, name: str, since_ms: int) -> None:
        try:
            known = await uses.since(name, since_ms)
        except LedgerError as error:
            log.warning("call_uses_not_read", limiter=name, reason=str(error))
        else:
            self._restore(name, known)
