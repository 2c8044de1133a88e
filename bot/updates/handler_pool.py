"""Runs a bounded number of handlers, shared out by bot, and those of one key in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from enum import IntEnum

import structlog

from tempogram.bot.updates.handler_run import HandlerRun
from tempogram.bot.updates.order import UpdateOrder
from tempogram.bot.updates.shares import Shares
from tempogram.bot.updates.stopwatch import Timers
from tempogram.bot.updates.waiting_by_bot import WaitingByBot

log = structlog.get_logger()

APART_S = 0.002
"""Between two starts: 500 a second, about what one process can handle. Untuned; ``bench.awaited`` depends on it."""

HEAD_START_S = 1.0
"""Time in which most handlers end; untuned: a user who wants to cancel a slow one waits no longer."""

UNENDED_MAX = 2_000
"""Handlers that have started and not ended, most of which wait for the queue; untuned: some 20 KB each."""

LAST_CALLS_S = 1.0
"""Time in which a call may be answered after ``stop``; untuned: longer than most calls take that have their places."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The handling of one update.

    Attributes:
        key: Jobs of one key start in the order of their submission.
        is_query: It waits for none before it.
        album: It starts with the others of its key that have the same one.
    """

    bot_id: int
    key: Hashable
    run: Callable[[HandlerRun], Awaitable[None]]
    is_query: bool = False
    album: str | None = None


class Rank(IntEnum):
    """What a place is wanted for; within a bot the first of these goes first."""

    QUERY_GOES_ON = 0
    GOES_ON = 1
    QUERY = 2
    OTHER = 3

    @property
    def is_urgent(self) -> bool:
        return self is Rank.QUERY_GOES_ON or self is Rank.QUERY

    @property
    def is_start(self) -> bool:
        return self >= Rank.QUERY


GO_ON = (Rank.QUERY_GOES_ON, Rank.GOES_ON)
"""What a handler wants a place for that has started."""


class HandlerPool:
    """Runs at most ``size`` jobs at once; see ``Shares`` for how many of them may be one bot's.

    1.  A job waits until those of its key before it have ended, or have had their head start. A query does not.
    2.  It waits for a place. The bot that holds the fewest has the next one, and uses it by ``Rank``.
    3.  It starts, ``apart_s`` after the start before it.
    4.  While its calls wait for the queue, another has its place (``HandlerRun.waiting_for_queue``).

    Args:
        size: Jobs that run at once.
        waiting_max: Jobs that may wait for their start; the bot that has most of them is refused more before others.
        head_start_s: Time that a job may run before the next one of its key starts; None: until it has ended.
        timeout_s: Time that a handler may run; None: for ever.
        unended_max: Jobs that have started and not ended.
        timers: The event loop, unless a test has a clock of its own.
    """

    def __init__(
        self,
        *,
        size: int,
        waiting_max: int,
        head_start_s: float | None = HEAD_START_S,
        timeout_s: float | None = None,
        apart_s: float = APART_S,
        unended_max: int = UNENDED_MAX,
        timers: Timers | None = None,
    ) -> None:
        self._running, self._unended, self._unstarted = Shares(size), Shares(unended_max), Shares(waiting_max)
        self._order: UpdateOrder[Job] = UpdateOrder()
        self._waiting = {rank: WaitingByBot[Callable[[], None]](self._running.held) for rank in Rank}
        self._head_start_s = head_start_s
        self._timeout_s = timeout_s
        self._apart_s = apart_s
        self._own_timers = timers
        self._runs: dict[HandlerRun, Job] = {}
        self._ahead: set[HandlerRun] = set()
        self._may_start = True
        self._is_stopping = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._context = copy_context()

    def is_full(self, bot_id: int) -> bool:
        """Tell whether too many of this bot's jobs wait to be started, or too many of all bots'."""
        return not self._unstarted.may_take(bot_id)

    def counts(self) -> dict[str, int]:
        """Return how many handlers run, wait for a place (to start or to go on), and wait for the queue."""
        going_on = sum(len(self._waiting[rank]) for rank in GO_ON)
        return {
            "running": self._running.taken,
            "waiting": self._unstarted.taken + going_on,
            "waiting_for_queue": sum(run.waiting_calls > 0 for run in self._runs),
        }

    def submit(self, job: Job) -> None:
        """Run a job when it is its turn; never, once ``stop`` was called."""
        if self._is_stopping:
            return
        self._is_idle.clear()
        self._unstarted.take(job.bot_id)
        if self._order.add(job.key, job, waits=not job.is_query, album=job.album):
            self._let_start(job)

    async def drain(self) -> None:
        """Wait until every job has ended."""
        await self._is_idle.wait()

    async def stop(self) -> None:
        """Start no further job, cancel those that wait for the queue, and wait until the others have ended."""
        self._is_stopping = True
        for rank in (Rank.QUERY, Rank.OTHER):
            self._waiting[rank].clear()
        self._unstarted = Shares(self._unstarted.size)
        for run in self._runs:
            if run.waiting_calls:
                self._cancel_soon(run)
        self._hand_out()
        self._look_if_idle()
        await self.drain()

    def give_back(self, run: HandlerRun) -> None:
        """See ``Places``."""
        if self._is_stopping:
            self._cancel_soon(run)
        self._free_place(run.bot_id)
        self._hand_out()

    def ask(self, run: HandlerRun) -> None:
        """See ``Places``."""
        rank = Rank.QUERY_GOES_ON if self._runs[run].is_query else Rank.GOES_ON
        self._waiting[rank].append(run.bot_id, lambda: self._go_on(run))
        self._hand_out()

    # Who has the next place

    def _hand_out(self) -> None:
        while (next_one := self._next()) is not None:
            rank, bot_id = next_one
            use = self._waiting[rank].pop(bot_id)
            self._running.take(bot_id)
            self._reorder(bot_id)
            use()

    def _next(self) -> tuple[Rank, int] | None:
        """Return the bot that may have the next place, and for what; None if there is none, or no place."""
        found = [(rank, bot_id) for rank in self._ranks() if (bot_id := self._first_bot(rank)) is not None]
        return min(found, key=lambda each: self._running.held(each[1]), default=None)

    def _ranks(self) -> Iterable[Rank]:
        if self._is_stopping:
            return GO_ON
        if self._running.free <= 0:
            return ()
        return Rank if self._may_start and self._unended.free > 0 else GO_ON

    def _first_bot(self, rank: Rank) -> int | None:
        return next((bot_id for bot_id in self._waiting[rank].bots() if self._may_use(rank, bot_id)), None)

    def _may_use(self, rank: Rank, bot_id: int) -> bool:
        if self._is_stopping:
            return True
        if rank.is_start and not self._unended.may_take(bot_id, is_urgent=rank.is_urgent):
            return False
        return self._running.may_take(bot_id, is_urgent=rank.is_urgent)

    def _free_place(self, bot_id: int) -> None:
        self._running.give_back(bot_id)
        self._reorder(bot_id)

    def _reorder(self, bot_id: int) -> None:
        for waiting in self._waiting.values():
            waiting.held_changed(bot_id)

    # What a place is used for

    def _let_start(self, job: Job) -> None:
        self._waiting[Rank.QUERY if job.is_query else Rank.OTHER].append(job.bot_id, lambda: self._start(job))
        self._hand_out()

    def _start(self, job: Job) -> None:
        self._unstarted.give_back(job.bot_id)
        self._unended.take(job.bot_id)
        run = HandlerRun(job.bot_id, places=self, timers=self._timers, timeout_s=self._timeout_s)
        self._runs[run] = job
        self._ahead.add(run)
        if self._head_start_s is not None:
            run.stopwatch.call_after(self._head_start_s, lambda: self._release(run))
        # In a context of its own: this may be called by the handler of another update.
        task = asyncio.get_running_loop().create_task(self._do(job, run), context=self._context.copy())
        task.add_done_callback(lambda _: self._end(run))
        run.start(task)
        self._space_starts()

    def _go_on(self, run: HandlerRun) -> None:
        if run.has_ended:  # without waiting for its place: it was cancelled
            self._free_place(run.bot_id)
        else:
            run.go_on()

    def _end(self, run: HandlerRun) -> None:
        run.end()
        self._unended.give_back(run.bot_id)
        if run.holds_place:
            self._free_place(run.bot_id)
        if run in self._ahead:
            self._release(run)
        del self._runs[run]
        self._hand_out()
        self._look_if_idle()

    def _release(self, run: HandlerRun) -> None:
        """Let the next job of its key start."""
        self._ahead.discard(run)
        if self._is_stopping:
            return
        for job in self._order.release(self._runs[run]):
            self._let_start(job)

    def _space_starts(self) -> None:
        """Space the starts of jobs: a crowd of them must not delay the answer to a webhook."""
        self._may_start = False
        self._timers.call_later(self._apart_s, self._start_more)

    def _start_more(self) -> None:
        self._may_start = True
        self._hand_out()

    def _cancel_soon(self, run: HandlerRun) -> None:
        self._timers.call_later(LAST_CALLS_S, run.cancel)

    def _look_if_idle(self) -> None:
        if not self._runs and not self._unstarted.taken:
            self._is_idle.set()

    @property
    def _timers(self) -> Timers:
        return self._own_timers or asyncio.get_running_loop()

    @staticmethod
    async def _do(job: Job, run: HandlerRun) -> None:
        try:
            await job.run(run)
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
