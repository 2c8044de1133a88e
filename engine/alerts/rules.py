"""What one process looks for, for all: in the database, and in the queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Protocol

from tempogram.engine.alerts.durations import in_words, moment
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError
from tempogram.engine.ports.alert_store import AlertReadings, AlertStore, Finding
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.status import TaskHealth, TaskStatus, health_of

DEAD_WITHIN_MS = 600_000
"""Over which time dead letters are counted."""

DEAD_COUNTED_MAX = 10_000

BACKLOG_WITHIN_MS = 180_000
"""A backlog that has risen in each third of this time grows. untuned: a broadcast that is accepted at once does not."""


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


class TaskRule:
    """Tasks that are stalled or failing.

    Args:
        redacted: Takes secrets out of the error of a task.
        jitter_ms: Of a task by its name, as far as this process knows it.
    """

    kinds = frozenset({"task_stalled", "task_failing"})

    def __init__(
        self,
        readings: AlertReadings,
        *,
        clock: Clock,
        redacted: Callable[[str], str] = str,
        jitter_ms: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._readings = readings
        self._clock = clock
        self._redacted = redacted
        self._jitter_ms = jitter_ms

    async def find(self) -> list[Finding]:
        now_ms = self._clock()
        rows = await self._readings.late_tasks(now_ms)
        found = [self._of(row, now_ms) for row in rows]
        return [each for each in found if each is not None]

    def _of(self, row: TaskRow, now_ms: int) -> Finding | None:
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
    return f"task {row.name} has failed {row.failures} times in a row{error}"[:300]


class BotRule:
    """Bots without a usable token, and those that Telegram lets send nothing for long.

    Args:
        long_ms: From which duration on a hold of a bot is long.
    """

    kinds = frozenset({"bot_without_token", "bot_held"})

    def __init__(self, readings: AlertReadings, *, long_ms: int, clock: Clock) -> None:
        self._readings = readings
        self._long_ms = long_ms
        self._clock = clock

    async def find(self) -> list[Finding]:
        found = [
            Finding("bot_without_token", str(bot_id), f"{_bot(bot_id, name)} has no valid token; its messages wait")
            for bot_id, name in await self._readings.bots_without_token()
        ]
        for hold in await self._readings.long_holds(self._clock(), over_ms=self._long_ms):
            text = f"Telegram lets {_bot(hold.bot_id, hold.name)} send nothing until {moment(hold.until_ms)}"
            found.append(Finding("bot_held", str(hold.bot_id), text))
        return found


def _bot(bot_id: int, name: str) -> str:
    return f"bot {bot_id} (@{name})" if name else f"bot {bot_id}"


class DeadLetterRule:
    """More messages are given up than usual.

    Args:
        at_least: In ``DEAD_WITHIN_MS``; 0: no number of them is worth an alert.
    """

    kinds = frozenset({"dead_letters"})

    def __init__(self, readings: AlertReadings, *, at_least: int, clock: Clock) -> None:
        self._readings = readings
        self._at_least = at_least
        self._clock = clock

    async def find(self) -> list[Finding]:
        if not self._at_least:
            return []
        up_to = max(DEAD_COUNTED_MAX, self._at_least)
        dead = await self._readings.dead_since(self._clock() - DEAD_WITHIN_MS, up_to=up_to)
        if dead < self._at_least:
            return []
        number = f"{dead:,} or more" if dead == up_to else f"{dead:,}"
        text = f"{number} messages were given up within {in_words(DEAD_WITHIN_MS)}; see tempogram queue dlq list"
        return [Finding("dead_letters", "", text)]


class BacklogRule:
    """More and more messages wait.

    It begins when so many wait, and their number has risen in each third of ``BACKLOG_WITHIN_MS``. It ends when fewer
    wait than that, or no more than so long ago.

    Args:
        at_least: Messages that wait; 0: no number of them is worth an alert.
    """

    kinds = frozenset({"backlog"})

    def __init__(self, stats: Callable[[], Awaitable[QueueStats]], *, at_least: int, clock: Clock) -> None:
        self._stats = stats
        self._at_least = at_least
        self._clock = clock
        self._seen: deque[tuple[int, int]] = deque()
        self._grows = False

    async def find(self) -> list[Finding]:
        if not self._at_least:
            return []
        stats, now_ms = await self._stats(), self._clock()
        waiting = sum(stats.waiting.values()) + stats.retry
        self._seen.append((now_ms, waiting))
        while len(self._seen) > 1 and self._seen[1][0] <= now_ms - BACKLOG_WITHIN_MS:
            self._seen.popleft()
        if waiting < self._at_least:
            self._grows = False
            return []
        if self._seen[0][0] > now_ms - BACKLOG_WITHIN_MS:
            raise NotKnownYet("the queue has not been watched for long enough")
        self._grows = self._rises(now_ms) or (self._grows and waiting > self._seen[0][1])
        return [Finding("backlog", "", _backlog(self._seen[0][1], waiting))] if self._grows else []

    def _rises(self, now_ms: int) -> bool:
        thirds = [self._at(now_ms - BACKLOG_WITHIN_MS * part // 3) for part in (3, 2, 1, 0)]
        return all(earlier < later for earlier, later in pairwise(thirds))

    def _at(self, at_ms: int) -> int:
        return next(waiting for seen_ms, waiting in reversed(self._seen) if seen_ms <= at_ms)


def _backlog(before: int, waiting: int) -> str:
    return f"{waiting:,} messages wait, {waiting - before:,} more than {in_words(BACKLOG_WITHIN_MS)} ago"


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
