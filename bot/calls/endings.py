"""Tells callers how messages end: by the results channel at once, and slowly by the ledger, which misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from tempogram.bot.calls.answers import result_of
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import OPEN
from tempogram.engine.ports import Known, Result, Results
from tempogram.engine.ports.results import OnProgress

log = structlog.get_logger()

REREAD_S = 5.0
"""Between two looks into the ledger. untuned: only a result that was lost, or went to a process that ended, needs
it."""

PAGE = 500
"""Messages that are looked up at a time: some 10 ms of SQLite."""

Standings = Callable[[Sequence[str]], Awaitable[Sequence[Known | None]]]


class Endings:
    """Gives each caller the result of its message.

    A result can be missed: Redis was away, or the message was submitted by a process before this one, to which the
    result goes. A caller may wait for hours, so what is awaited for longer than ``REREAD_S`` is looked up in the
    ledger, all of it together.

    Args:
        results: The channel.
        standings: See ``Ledger.standings``.
    """

    def __init__(self, results: Results, standings: Standings, *, reread_s: float = REREAD_S) -> None:
        self._results = results
        self._standings = standings
        self._reread_s = reread_s
        self._waiting: dict[asyncio.Future[Result], tuple[str, float]] = {}  # the message, and since when
        self._timer: asyncio.TimerHandle | None = None
        self._rereading: asyncio.Task[None] | None = None

    @contextmanager
    def expect(self, message_id: str, on_progress: OnProgress | None = None) -> Iterator[asyncio.Future[Result]]:
        """Give a future of a message's result. Ask before the message is submitted; else look it up, too."""
        future = self._results.expect(message_id, on_progress)
        loop = asyncio.get_running_loop()
        self._waiting[future] = message_id, loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._reread_s, self._look)
        try:
            yield future
        finally:
            del self._waiting[future]
            self._results.forget(message_id, future)

    async def look_up(self, message_id: str) -> Result | None:
        """Return the result of a message that has ended; None if it is open, or not known."""
        (known,) = await self._standings([message_id])
        return None if known is None or known.status in OPEN else result_of(known)

    def _look(self) -> None:
        """Begin to look up what has waited long enough, and be back when something may be missed again."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._reread_s, self._look) if self._waiting else None
        before_s = loop.time() - self._reread_s
        due = [future for future, (_, since_s) in self._waiting.items() if since_s <= before_s]
        if due and (self._rereading is None or self._rereading.done()):
            self._rereading = loop.create_task(self._reread(due))

    async def _reread(self, due: Sequence[asyncio.Future[Result]]) -> None:
        try:
            for page in batches(due, PAGE):
                await self._reread_page([future for future in page if future in self._waiting])
        except LedgerError as error:  # the next look sees it
            log.debug("results_not_read", error=str(error))

    async def _reread_page(self, futures: Sequence[asyncio.Future[Result]]) -> None:
        known = await self._standings([self._waiting[future][0] for future in futures])
        for future, standing in zip(futures, known, strict=True):
            if standing is not None and standing.status not in OPEN and not future.done():
                future.set_result(result_of(standing))
