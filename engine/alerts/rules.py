"""What one process looks for, for all: in the database, and in the queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Protocol

from tempogram.engine.alerts.durations import in_words, moment
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError
from tempogram.engine.ports.alert_store import AlertReadings, AlertStore, Finding, LongHold
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.status import TaskHealth, TaskStatus, health_of

DEAD_WITHIN_MS = 600_000
"""Over which time dead letters are counted."""

DEAD_COUNTED_MAX = 10_000

LOOK_MS, LOOKS = 60_000, 3
"""A backlog that has risen in each of so many minutes grows. untuned: one that a broadcast makes at once does not."""

TEXT_MAX = 300
"""Characters of a finding that quotes an error."""


class NotKnownYet(EngineError):
    """A rule cannot say anything now; open alerts of its kinds stay so."""


class Rule(Protocol):
    """Finds what is wrong, of some kinds."""

    kinds: frozenset[str]

    async def find(self) -> list[Finding]:
        """Return what is wrong now.

        Raises:
            EngineError: It cannot be said.
        """


class DatabaseRule:
    """Tasks, bots and dead letters.

    Args:
        long_ms: From which duration on a hold of a bot is long.
        dead_at_least: In ``DEAD_WITHIN_MS``; 0: no number of dead letters is worth an alert.
        redacted: Takes secrets out of the error of a task.
        tasks_now_ms: Returns the time by the database's clock, which tasks keep; None: ``clock`` has it.
        jitter_ms: Of a task by its name, as far as this process knows it.
    """

    kinds = frozenset({"task_stalled", "task_failing", "bot_without_token", "bot_held", "dead_letters"})

    def __init__(
        self,
        readings: AlertReadings,
        *,
        long_ms: int,
        dead_at_least: int,
        clock: Clock,
        tasks_now_ms: Callable[[], Awaitable[int]] | None = None,
        redacted: Callable[[str], str] = str,
        jitter_ms: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._readings = readings
        self._long_ms = long_ms
        self._dead_at_least = dead_at_least
        self._clock = clock
        self._tasks_now_ms = tasks_now_ms
        self._redacted = redacted
        self._jitter_ms = jitter_ms

    async def find(self) -> list[Finding]:
        now_ms = self._clock()
        tasks_now_ms = now_ms if self._tasks_now_ms is None else await self._tasks_now_ms()
        up_to = max(DEAD_COUNTED_MAX, self._dead_at_least)
        troubles = await self._readings.look(
            now_ms,
            tasks_now_ms=tasks_now_ms,
            hold_over_ms=self._long_ms,
            dead_since_ms=now_ms - DEAD_WITHIN_MS,
            dead_up_to=up_to,
        )
        found = [self._of_task(row, tasks_now_ms) for row in troubles.tasks]
        found += [_without_token(*each) for each in troubles.bots_without_token]
        found += [_held(each) for each in troubles.holds]
        if self._dead_at_least and troubles.dead >= self._dead_at_least:
            found.append(_dead(troubles.dead, up_to))
        return [each for each in found if each is not None]

    def _of_task(self, row: TaskRow, now_ms: int) -> Finding | None:
        health = health_of(row, now_ms, jitter_ms=self._jitter_ms(row.name))
        if health.status is TaskStatus.STALLED:
            return Finding("task_stalled", row.name, _stalled(health))
        if row.is_failing:  # also while it has paused itself, and waits to be tried again
            return Finding("task_failing", row.name, _failing(row, self._redacted))
        return None


def _stalled(health: TaskHealth) -> str:
    if not health.last_run_ms:
        return f"task {health.row.name} has never run, and was due at {moment(health.row.next_due_ms)}"
    return f"task {health.row.name} is stalled: its last run began {in_words(health.age_ms)} ago"


def _failing(row: TaskRow, redacted: Callable[[str], str]) -> str:
    error = f": {' '.join(redacted(row.last_error).split())}" if row.last_error else ""
    return f"task {row.name} has failed {row.failures} times in a row{error}"[:TEXT_MAX]


def _without_token(bot_id: int, name: str) -> Finding:
    text = f"{_bot(bot_id, name)} has no valid token; its messages wait"
    return Finding("bot_without_token", str(bot_id), text)


def _held(hold: LongHold) -> Finding:
    text = f"Telegram lets {_bot(hold.bot_id, hold.name)} send nothing until {moment(hold.until_ms)}"
    return Finding("bot_held", str(hold.bot_id), text)


def _bot(bot_id: int, name: str) -> str:
    return f"bot {bot_id} (@{name})" if name else f"bot {bot_id}"


def _dead(dead: int, up_to: int) -> Finding:
    number = f"{dead:,} or more" if dead == up_to else f"{dead:,}"
    text = f"{number} messages were given up within {in_words(DEAD_WITHIN_MS)}; see tempogram queue dlq list"
    return Finding("dead_letters", "", text)


class BacklogRule:
    """More and more messages wait.

    It begins when so many wait, and their number has risen in each of the last ``LOOKS`` looks. It ends when fewer wait
    than that, or no more than ``LOOKS`` looks ago.

    Args:
        at_least: Messages that wait; 0: no number of them is worth an alert.
        check_ms: Between two checks. The queue is asked once in ``LOOK_MS`` at the most: an idle one is asked, too.
    """

    kinds = frozenset({"backlog"})

    def __init__(
        self, stats: Callable[[], Awaitable[QueueStats]], *, at_least: int, check_ms: int, clock: Clock
    ) -> None:
        self._stats = stats
        self._at_least = at_least
        self._apart_ms = max(LOOK_MS, check_ms) - check_ms // 2
        self._clock = clock
        self._seen: deque[int] = deque(maxlen=LOOKS + 1)
        self._looked_ms: int | None = None
        self._grows = False

    async def find(self) -> list[Finding]:
        if not self._at_least:
            return []
        now_ms = self._clock()
        if self._looked_ms is None or now_ms - self._looked_ms >= self._apart_ms:
            stats = await self._stats()
            self._looked_ms = now_ms
            self._seen.append(sum(stats.waiting.values()) + stats.retry)
            self._judge()
        if self._seen[-1] >= self._at_least and len(self._seen) <= LOOKS:
            raise NotKnownYet("the queue has not been watched for long enough")
        return [Finding("backlog", "", _backlog(self._seen[0], self._seen[-1]))] if self._grows else []

    def _judge(self) -> None:
        first, last = self._seen[0], self._seen[-1]
        rises = len(self._seen) > LOOKS and all(earlier < later for earlier, later in pairwise(self._seen))
        self._grows = last >= self._at_least and (rises or (self._grows and last > first))


def _backlog(before: int, waiting: int) -> str:
    return f"{waiting:,} messages wait, and more and more do: {waiting - before:,} came within {LOOKS} min"


class OtherProcessesRule:
    """What the processes have found in themselves.

    Args:
        kinds: That they look for.
        within_ms: One that has not said so since is over it, or dead.
    """

    def __init__(self, store: AlertStore, kinds: frozenset[str], *, within_ms: int, clock: Clock) -> None:
        self._store = store
        self.kinds = kinds
        self._within_ms = within_ms
        self._clock = clock

    async def find(self) -> list[Finding]:
        return await self._store.sighted(self._clock() - self._within_ms)
