from __future__ import annotations

from typing import Any

import pytest

from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.rules import BacklogRule, DatabaseRule, NotKnownYet, OtherProcessesRule
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.alert_store import Finding, LongHold, Troubles
from tempogram.engine.ports.broker import QueueStats
from tests.engine.scheduler.store_contract import declared
from tests.fakes import START_MS, Clock

MINUTE_MS = 60_000


class Readings:
    """What a test says that the database shows."""

    def __init__(self) -> None:
        self.troubles = Troubles()
        self.asked: dict[str, int] = {}

    async def look(self, now_ms: int, **asked: int) -> Troubles:
        self.asked = asked
        return self.troubles

    def rule(self, clock: Clock, **changes: Any) -> DatabaseRule:
        usual: dict[str, Any] = {"long_ms": 300_000, "dead_at_least": 10, "clock": clock}
        return DatabaseRule(self, **usual | changes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readings() -> Readings:
    return Readings()


async def test_a_task_is_stalled_two_intervals_after_its_last_run(readings: Readings, clock: Clock) -> None:
    readings.troubles = Troubles(tasks=[declared("poll", last_run_ms=START_MS)])
    found = []
    for ms in (2 * MINUTE_MS, 2 * MINUTE_MS + 1):
        clock.now_ms = START_MS + ms
        found += [await readings.rule(clock).find()]

    text = "task poll is stalled: its last run began 2 min ago"
    assert found == [[], [Finding("task_stalled", "poll", text)]]


async def test_a_task_is_not_stalled_because_the_clock_of_the_process_is_ahead(
    readings: Readings, clock: Clock
) -> None:
    async def of_database() -> int:
        return START_MS

    readings.troubles = Troubles(tasks=[declared("poll", last_run_ms=START_MS)])
    clock.advance(10 * MINUTE_MS)

    assert await readings.rule(clock, tasks_now_ms=of_database).find() == []
    assert readings.asked["tasks_now_ms"] == START_MS


async def test_the_jitter_of_a_task_is_waited_for(readings: Readings, clock: Clock) -> None:
    readings.troubles = Troubles(tasks=[declared("poll", last_run_ms=START_MS)])
    clock.advance(2 * MINUTE_MS + 30_000)

    assert await readings.rule(clock, jitter_ms=lambda _: 30_000).find() == []


async def test_a_task_that_fails_is_named_with_its_error_also_while_it_pauses(readings: Readings, clock: Clock) -> None:
    failing: dict[str, Any] = {"is_failing": True, "failures": 5, "last_error": "TimeoutError", "last_run_ms": START_MS}
    readings.troubles = Troubles(
        tasks=[declared("poll", **failing), declared("sweep", **failing, paused_until_ms=START_MS + MINUTE_MS)]
    )

    found = await readings.rule(clock).find()

    assert [(each.kind, each.key) for each in found] == [("task_failing", "poll"), ("task_failing", "sweep")]
    assert found[0].text == "task poll has failed 5 times in a row: TimeoutError"


async def test_a_task_that_never_ran_is_named_with_its_time(readings: Readings, clock: Clock) -> None:
    readings.troubles = Troubles(tasks=[declared("poll")])
    clock.advance(3 * MINUTE_MS)

    (found,) = await readings.rule(clock).find()

    assert found.text == "task poll has never run, and was due at 2023-11-14 22:14 UTC"


async def test_bots_without_a_token_and_those_held_for_long_are_named(readings: Readings, clock: Clock) -> None:
    held = LongHold(9, "chess_bot", START_MS, START_MS + 400_000)
    readings.troubles = Troubles(bots_without_token=[(7, "news_bot"), (8, "")], holds=[held])

    found = await readings.rule(clock).find()

    assert readings.asked["hold_over_ms"] == 300_000

    assert found == [
        Finding("bot_without_token", "7", "bot 7 (@news_bot) has no valid token; its messages wait"),
        Finding("bot_without_token", "8", "bot 8 has no valid token; its messages wait"),
        Finding("bot_held", "9", "Telegram lets bot 9 (@chess_bot) send nothing until 2023-11-14 22:20 UTC"),
    ]


@pytest.mark.parametrize(("dead", "at_least", "is_found"), [(9, 10, False), (10, 10, True), (10_000, 0, False)])
async def test_dead_letters_are_worth_an_alert_from_a_number_on(
    readings: Readings, clock: Clock, dead: int, at_least: int, *, is_found: bool
) -> None:
    readings.troubles = Troubles(dead=dead)

    found = await readings.rule(clock, dead_at_least=at_least).find()

    assert [each.kind for each in found] == ["dead_letters"] * is_found


class Queue:
    """A queue of which a test says how many messages wait, in each minute."""

    def __init__(self, clock: Clock, check_s: int = 15) -> None:
        self.waiting = 0
        self.asked = 0
        self._clock = clock
        self._check_s = check_s
        self._rule = BacklogRule(self.stats, at_least=1_000, check_ms=check_s * 1_000, clock=clock)

    async def stats(self) -> QueueStats:
        self.asked += 1
        return QueueStats(waiting={Priority.NORMAL: self.waiting - 1}, retry=1, leased=0)

    async def found(self, *waiting: int) -> list[bool | None]:
        """Return for each minute whether a backlog was found; None: it could not be said."""
        found: list[bool | None] = []
        for self.waiting in waiting:
            for _ in range(max(1, 60 // self._check_s)):
                try:
                    last: bool | None = bool(await self._rule.find())
                except NotKnownYet:
                    last = None
                self._clock.advance(self._check_s * 1_000 + 7)  # a check takes time
            found.append(last)
        return found


@pytest.mark.parametrize("check_s", [1, 15, 60, 600])
async def test_a_backlog_that_keeps_rising_is_found_and_over_once_it_shrinks(clock: Clock, check_s: int) -> None:
    queue = Queue(clock, check_s)

    rising = await queue.found(2_000, 2_100, 2_200, 2_300, 2_400)
    staying = await queue.found(2_400, 2_400, 2_400, 2_400)
    shrinking = await queue.found(2_000, 900)

    assert rising == [None, None, None, True, True]
    assert (staying[0], staying[-1]) == (True, False)
    assert shrinking == [False, False]


async def test_an_idle_queue_is_asked_once_a_minute(clock: Clock) -> None:
    queue = Queue(clock)

    await queue.found(*[0] * 30)

    assert queue.asked <= 31


async def test_a_broadcast_that_is_accepted_at_once_is_no_backlog(clock: Clock) -> None:
    found = await Queue(clock).found(*[0] * 5, *range(100_000, 50_000, -5_000))

    assert not any(found)
    assert None not in found


async def test_few_messages_that_wait_are_no_backlog_even_if_they_rise(clock: Clock) -> None:
    assert not any(await Queue(clock).found(*range(1, 999, 100)))


async def test_other_processes_are_believed_for_a_while(clock: Clock) -> None:
    store, away = MemoryAlertStore(), Finding("redis_away", "", "Redis is away")
    await store.sight("a", [away], clock())
    rule = OtherProcessesRule(store, frozenset({"redis_away"}), within_ms=45_000, clock=clock)

    before = await rule.find()
    clock.advance(45_001)

    assert (before, await rule.find()) == ([away], [])
