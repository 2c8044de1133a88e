from __future__ import annotations

from typing import Any

import pytest

from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.rules import (
    BacklogRule,
    BotRule,
    DeadLetterRule,
    NotKnownYet,
    OtherProcessesRule,
    TaskRule,
)
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.alert_store import Finding, LongHold
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.ports.task_store import TaskRow
from tests.engine.scheduler.store_contract import declared
from tests.fakes import START_MS, Clock

MINUTE_MS = 60_000


class Readings:
    """What a test says that the database shows."""

    def __init__(self) -> None:
        self.tasks: list[TaskRow] = []
        self.without_token: list[tuple[int, str]] = []
        self.holds: list[LongHold] = []
        self.dead = 0

    async def late_tasks(self, due_before_ms: int) -> list[TaskRow]:
        return self.tasks

    async def bots_without_token(self) -> list[tuple[int, str]]:
        return self.without_token

    async def long_holds(self, now_ms: int, *, over_ms: int) -> list[LongHold]:
        return [each for each in self.holds if each.until_ms - each.since_ms > over_ms]

    async def dead_since(self, at_ms: int, *, up_to: int) -> int:
        return min(self.dead, up_to)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readings() -> Readings:
    return Readings()


async def test_a_task_is_stalled_two_intervals_after_its_last_run(readings: Readings, clock: Clock) -> None:
    readings.tasks = [declared("poll", last_run_ms=START_MS)]
    found = []
    for ms in (2 * MINUTE_MS, 2 * MINUTE_MS + 1):
        clock.now_ms = START_MS + ms
        found += [await TaskRule(readings, clock=clock).find()]

    text = "task poll is stalled: its last run began 2 min ago"
    assert found == [[], [Finding("task_stalled", "poll", text)]]


async def test_the_jitter_of_a_task_is_waited_for(readings: Readings, clock: Clock) -> None:
    readings.tasks = [declared("poll", last_run_ms=START_MS)]
    clock.advance(2 * MINUTE_MS + 30_000)

    assert await TaskRule(readings, clock=clock, jitter_ms=lambda _: 30_000).find() == []


async def test_a_task_that_fails_is_named_with_its_error_also_while_it_pauses(readings: Readings, clock: Clock) -> None:
    failing: dict[str, Any] = {"is_failing": True, "failures": 5, "last_error": "TimeoutError", "last_run_ms": START_MS}
    readings.tasks = [declared("poll", **failing), declared("sweep", **failing, paused_until_ms=START_MS + MINUTE_MS)]

    found = await TaskRule(readings, clock=clock).find()

    assert [(each.kind, each.key) for each in found] == [("task_failing", "poll"), ("task_failing", "sweep")]
    assert found[0].text == "task poll has failed 5 times in a row: TimeoutError"


async def test_a_task_that_never_ran_is_named_with_its_time(readings: Readings, clock: Clock) -> None:
    readings.tasks = [declared("poll")]
    clock.advance(3 * MINUTE_MS)

    (found,) = await TaskRule(readings, clock=clock).find()

    assert found.text == "task poll has never run, and was due at 2023-11-14 22:14 UTC"


async def test_bots_without_a_token_and_those_held_for_long_are_named(readings: Readings, clock: Clock) -> None:
    readings.without_token = [(7, "news_bot"), (8, "")]
    readings.holds = [LongHold(9, "chess_bot", START_MS, START_MS + 400_000), LongHold(10, "", START_MS, START_MS + 5)]

    found = await BotRule(readings, long_ms=300_000, clock=clock).find()

    assert found == [
        Finding("bot_without_token", "7", "bot 7 (@news_bot) has no valid token; its messages wait"),
        Finding("bot_without_token", "8", "bot 8 has no valid token; its messages wait"),
        Finding("bot_held", "9", "Telegram lets bot 9 (@chess_bot) send nothing until 2023-11-14 22:20 UTC"),
    ]


@pytest.mark.parametrize(("dead", "at_least", "is_found"), [(9, 10, False), (10, 10, True), (10_000, 0, False)])
async def test_dead_letters_are_worth_an_alert_from_a_number_on(
    readings: Readings, clock: Clock, dead: int, at_least: int, *, is_found: bool
) -> None:
    readings.dead = dead

    found = await DeadLetterRule(readings, at_least=at_least, clock=clock).find()

    assert [each.kind for each in found] == ["dead_letters"] * is_found


class Queue:
    """A queue of which a test says how many messages wait, at each check."""

    def __init__(self, clock: Clock) -> None:
        self.waiting = 0
        self._clock = clock
        self._rule = BacklogRule(self.stats, at_least=1_000, clock=clock)

    async def stats(self) -> QueueStats:
        return QueueStats(waiting={Priority.NORMAL: self.waiting}, retry=0, leased=0)

    async def found(self, *waiting: int) -> list[bool | None]:
        """Return for each check whether a backlog was found; None: it could not be said."""
        found: list[bool | None] = []
        for self.waiting in waiting:
            try:
                found.append(bool(await self._rule.find()))
            except NotKnownYet:
                found.append(None)
            self._clock.advance(15_000)
        return found


async def test_a_backlog_that_keeps_rising_is_found_and_over_once_it_shrinks(clock: Clock) -> None:
    queue = Queue(clock)

    rising = await queue.found(*range(2_000, 2_000 + 100 * 16, 100))
    staying = await queue.found(*[3_500] * 13)
    shrinking = await queue.found(2_000, 900)

    assert rising == [None] * 12 + [True] * 4
    assert staying[:11] == [True] * 11
    assert not staying[-1]
    assert shrinking == [False, False]


async def test_a_broadcast_that_is_accepted_at_once_is_no_backlog(clock: Clock) -> None:
    queue = Queue(clock)

    found = await queue.found(*[0] * 20, *range(100_000, 50_000, -1_000))

    assert not any(found)
    assert None not in found


async def test_few_messages_that_wait_are_no_backlog_even_if_they_rise(clock: Clock) -> None:
    assert not any(await Queue(clock).found(*range(0, 999, 30)))


async def test_other_processes_are_believed_for_a_while(clock: Clock) -> None:
    store, away = MemoryAlertStore(), Finding("redis_away", "", "Redis is away")
    await store.sight("a", [away], clock())
    rule = OtherProcessesRule(store, frozenset({"redis_away"}), within_ms=45_000, clock=clock)

    before = await rule.find()
    clock.advance(45_001)

    assert (before, await rule.find()) == ([away], [])
