"""Runs a bounded number of handlers, shared out by bot, and those of one key in their order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from enum import IntEnum

import structlog

from tempogram.bot.updates.chat_bound import ChatBound
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
        chat_id: Its chat, so that one chat has not all that its bot may have under way; None: it has none.
        is_query: It waits for none before it.
        album: It starts with the others of its key that have the same one.
    """

    bot_id: int
    key: Hashable
    run: Callable[[HandlerRun], Awaitable[None]]
    chat_id: int | None = None
    is_query: bool = False
    album: str | None = None


class Rank(IntEnum):
    """What is to start; within a bot the first of these goes first."""

    QUERY = 0
    BESIDE = 1  # another of its key has not ended, and may wait for just this one
    OTHER = 2

    @property
    def is_urgent(self) -> bool:
        return self is not Rank.OTHER


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A job whose turn it is within its key."""

    job: Job
    rank: Rank

    @property
    def chat(self) -> Hashable:
        """What it is bounded with: what is urgent apart from the rest, which may wait for it."""
        return self if self.job.chat_id is None else (self.job.bot_id, self.job.chat_id, self.rank.is_urgent)


class HandlerPool:
    """Starts jobs while fewer than ``size`` run; see ``Shares`` for how many of them may be one bot's.

    1.  A job waits until those of its key before it have ended, or have had their head start. A query does not.
    2.  It waits while its chat has too many under way (``ChatBound``), then for a place. The bot that holds the fewest
        has the next one, and uses it by ``Rank``.
    3.  It starts, ``apart_s`` after the start before it.
    4.  While its calls wait for the queue, another has its place (``HandlerRun.waiting_for_queue``). It goes on
        without waiting, beyond the places if need be: others that hold theirs may wait for it.

    Args:
        size: Jobs that run at once, without those that went on beyond.
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
        self._chats: ChatBound[Start] = ChatBound(lambda: self._unended.free)
        self._waiting = {rank: WaitingByBot[Start](self._running.held) for rank in Rank}
        self._head_start_s = head_start_s
        self._timeout_s = timeout_s
        self._apart_s = apart_s
        self._own_timers = timers
        self._runs: dict[HandlerRun, Job] = {}
        self._runs_of_key: Counter[Hashable] = Counter()
        self._beyond: set[HandlerRun] = set()
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
        """Return how many handlers run, wait for their start, and wait for the queue."""
        return {
            "running": self._running.taken + len(self._beyond),
            "waiting": self._unstarted.taken,
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
        for waiting in self._waiting.values():
            waiting.clear()
        self._unstarted = Shares(self._unstarted.size)
        for run in self._runs:
            if run.waiting_calls:
                self._cancel_soon(run)
        self._look_if_idle()
        await self.drain()

    def give_back(self, run: HandlerRun) -> None:
        """See ``Places``."""
        if self._is_stopping:
            self._cancel_soon(run)
        self._free_place(run)
        self._hand_out()

    def take_again(self, run: HandlerRun) -> None:
        """See ``Places``."""
        if self._running.may_take(run.bot_id):
            self._running.take(run.bot_id)
        else:
            self._running.go_beyond(run.bot_id)
            self._beyond.add(run)
        self._reorder(run.bot_id)

    # Who has the next place

    def _hand_out(self) -> None:
        while (next_one := self._next()) is not None:
            rank, bot_id = next_one
            start = self._waiting[rank].pop(bot_id)
            self._running.take(bot_id)
            self._reorder(bot_id)
            self._start(start)

    def _next(self) -> tuple[Rank, int] | None:
        """Return the bot that may have the next place, and for what; None if there is none, or no place."""
        found = [(rank, bot_id) for rank in self._ranks() if (bot_id := self._first_bot(rank)) is not None]
        return min(found, key=lambda each: self._running.held(each[1]), default=None)

    def _ranks(self) -> Iterable[Rank]:
        return Rank if self._may_start and self._running.free > 0 and self._unended.free > 0 else ()

    def _first_bot(self, rank: Rank) -> int | None:
        return next((bot_id for bot_id in self._waiting[rank].bots() if self._may_use(rank, bot_id)), None)

    def _may_use(self, rank: Rank, bot_id: int) -> bool:
        return all(shares.may_take(bot_id, is_urgent=rank.is_urgent) for shares in (self._unended, self._running))

    def _free_place(self, run: HandlerRun) -> None:
        if run in self._beyond:
            self._beyond.remove(run)
            self._running.come_back(run.bot_id)
        else:
            self._running.give_back(run.bot_id)
        self._reorder(run.bot_id)

    def _reorder(self, bot_id: int) -> None:
        for waiting in self._waiting.values():
            waiting.held_changed(bot_id)

    # What a place is used for

    def _let_start(self, job: Job) -> None:
        start = Start(job, self._rank(job))
        if self._chats.admit(start.chat, start):
            self._wait_for_place(start)

    def _rank(self, job: Job) -> Rank:
        if job.is_query:
            return Rank.QUERY
        return Rank.BESIDE if self._runs_of_key[job.key] else Rank.OTHER

    def _wait_for_place(self, start: Start) -> None:
        self._waiting[start.rank].append(start.job.bot_id, start)
        self._hand_out()

    def _start(self, start: Start) -> None:
        job = start.job
        self._unstarted.give_back(job.bot_id)
        self._unended.take(job.bot_id)
        run = HandlerRun(job.bot_id, places=self, timers=self._timers, timeout_s=self._timeout_s)
        self._runs[run] = job
        self._runs_of_key[job.key] += 1
        self._ahead.add(run)
        if self._head_start_s is not None:
            run.stopwatch.call_after(self._head_start_s, lambda: self._release(run))
        # In a context of its own: this may be called by the handler of another update.
        task = asyncio.get_running_loop().create_task(self._do(job, run), context=self._context.copy())
        task.add_done_callback(lambda _: self._end(run, start))
        run.start(task)
        self._space_starts()

    def _end(self, run: HandlerRun, start: Start) -> None:
        run.end()
        self._forget(run, start)
        if run in self._ahead:
            self._release(run)
        del self._runs[run]
        self._hand_out()
        self._look_if_idle()

    def _forget(self, run: HandlerRun, start: Start) -> None:
        """Count it no more, and let the next of its chat wait for a place."""
        key = start.job.key
        self._unended.give_back(run.bot_id)
        self._runs_of_key[key] -= 1
        if not self._runs_of_key[key]:
            del self._runs_of_key[key]
        if run.holds_place:
            self._free_place(run)
        for admitted in self._chats.release(start.chat):
            if not self._is_stopping:
                self._wait_for_place(admitted)

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
