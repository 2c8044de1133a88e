from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tempogram.engine.alerts.alerts import Alerts
from tempogram.engine.alerts.channel import Away, Channel
from tempogram.engine.alerts.database_watch import DatabaseWatch
from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.notices import When
from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.alerts.quiet_hours import QuietHours
from tempogram.engine.alerts.sender import Sender
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import Finding
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.alerts.values import ListChannel
from tests.fakes import Clock
from tests.virtual_time import LoopClock, in_virtual_time

MINUTE_MS = 60_000


class Listed:
    """A rule that finds what a test says; None: it cannot look."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = frozenset(kinds)
        self.found: Iterable[Finding] | None = ()

    async def find(self) -> list[Finding]:
        if self.found is None:
            raise LedgerError("the database is away")
        return list(self.found)


class Process:
    """One process that looks for all."""

    def __init__(self, store: MemoryAlertStore, clock: Any, *, after: int = 1, when: When | None = None) -> None:
        self.clock = clock
        self.channels = {"slack": ListChannel()}
        self.rule = Listed("task_stalled", "service_failing")
        self.conditions = Conditions(clock)
        given: Mapping[str, Channel] = self.channels
        when = when or When()
        self.sender = Sender(store, given, clock=clock)
        self.watch = DatabaseWatch(
            store.unfinished, store, given, conditions=self.conditions, when=when, after=after, clock=clock
        )
        self.alerts = Alerts(
            store,
            [self.rule],
            ProcessRules(self.conditions, clock=clock),
            self.sender,
            self.watch,
            channels=list(given),
            when=when,
            after=after,
            check_s=15,
            clock=clock,
        )

    async def check(self) -> None:
        await self.alerts.check()
        await self.sender.deliver()

    @property
    def said(self) -> list[tuple[str, tuple[str, ...]]]:
        return self.channels["slack"].events


def stalled(*names: str) -> list[Finding]:
    return [Finding("task_stalled", name, f"task {name} is stalled") for name in names]


async def test_a_finding_is_said_once_and_its_end_too() -> None:
    process = Process(MemoryAlertStore(), Clock())
    for found in ([], stalled("poll"), stalled("poll"), stalled("poll", "sweep"), stalled("sweep"), []):
        process.rule.found = found
        await process.check()
        process.clock.advance(15_000)

    assert process.said == [
        ("opened", ("poll",)),
        ("opened", ("sweep",)),
        ("ended", ("poll",)),
        ("ended", ("sweep",)),
    ]
    assert process.channels["slack"].accepted[2].lines == ("task poll is stalled (over after 45 s)",)


async def test_its_beginning_and_its_end_are_in_the_log() -> None:
    process = Process(MemoryAlertStore(), Clock())
    with capture_logs() as logs:
        for found in (stalled("poll"), []):
            process.rule.found = found
            await process.alerts.check()
            process.clock.advance(15_000)

    opened, ended = logs
    assert (opened["event"], opened["log_level"], opened["kind"], opened["key"]) == (
        "alert_opened",
        "error",
        "task_stalled",
        "poll",
    )
    assert (ended["event"], ended["after_ms"]) == ("alert_ended", 15_000)


async def test_a_condition_of_this_process_is_an_alert_after_so_many_checks() -> None:
    process = Process(MemoryAlertStore(), Clock(), after=3)
    process.conditions.begin(Condition.REDIS_AWAY, "refused")
    for _ in range(2):
        await process.check()
    assert process.said == []

    await process.check()
    process.conditions.end(Condition.REDIS_AWAY)
    for _ in range(3):
        await process.check()

    assert process.said == [("opened", ("",)), ("ended", ("",))]


async def test_what_cannot_be_looked_for_is_not_over() -> None:
    process = Process(MemoryAlertStore(), Clock())
    process.rule.found = stalled("poll")
    await process.check()
    process.rule.found = None
    await process.check()

    assert process.said == [("opened", ("poll",))]
    assert process.alerts.counts() == {"task_stalled": 1}


async def test_a_rule_that_is_broken_stops_no_other() -> None:
    process = Process(MemoryAlertStore(), Clock())

    def broken() -> Any:
        yield Finding("task_stalled", "poll", "")
        raise KeyError("a defect")

    process.rule.found = broken()
    process.conditions.begin(Condition.REDIS_AWAY, "refused")
    with capture_logs() as logs:
        await process.check()

    assert [each["event"] for each in logs if each["event"].endswith("failed")] == ["alert_rule_failed"]
    assert process.said == [("opened", ("",))]


async def test_a_process_that_takes_over_says_nothing_again_and_the_end() -> None:
    store, clock = MemoryAlertStore(), Clock()
    first, second = Process(store, clock), Process(store, clock)
    first.rule.found = second.rule.found = stalled("poll")
    await first.check()
    await second.check()
    second.rule.found = []
    await second.check()

    assert first.said == [("opened", ("poll",))]
    assert second.said == [("ended", ("poll",))]


async def test_what_was_written_and_not_said_is_said_by_the_next_process() -> None:
    class Dying(MemoryAlertStore):
        async def say(self, *args: Any) -> bool:
            raise LedgerError("it died here")

    clock, dying = Clock(), Dying()
    first = Process(dying, clock)
    first.rule.found = stalled("poll")
    with contextlib.suppress(LedgerError):
        await first.check()
    left = MemoryAlertStore()
    left.alerts = dying.alerts
    second = Process(left, clock)
    second.rule.found = stalled("poll")
    await second.check()

    assert (first.said, second.said) == ([], [("opened", ("poll",))])


def quiet(begin: int, end: int) -> When:
    return When(quiet=QuietHours(time(begin), time(end), ZoneInfo("UTC")))


async def test_what_is_still_open_when_quiet_hours_end_is_said_then() -> None:
    clock = Clock(0)
    process = Process(MemoryAlertStore(), clock, when=quiet(0, 7))
    process.rule.found = stalled("poll", "sweep")
    await process.check()
    process.rule.found = stalled("sweep")
    clock.advance(6 * 60 * MINUTE_MS)
    await process.check()
    assert process.said == []

    clock.advance(60 * MINUTE_MS)
    await process.check()
    assert process.said == [("opened", ("sweep",))]
    assert process.channels["slack"].accepted[0].lines == ("task sweep is stalled (for 7 h)",)


async def test_an_end_in_quiet_hours_is_said_when_they_end() -> None:
    clock = Clock(23 * 60 * MINUTE_MS)
    process = Process(MemoryAlertStore(), clock, when=quiet(0, 7))
    process.rule.found = stalled("poll")
    await process.check()
    process.rule.found = []
    clock.advance(2 * 60 * MINUTE_MS)
    await process.check()
    assert process.said == [("opened", ("poll",))]

    clock.advance(6 * 60 * MINUTE_MS)
    await process.check()
    assert process.said[1:] == [("ended", ("poll",))]
    assert process.channels["slack"].accepted[1].lines == ("task poll is stalled (over after 2 h)",)


async def test_what_is_urgent_is_said_in_quiet_hours() -> None:
    process = Process(MemoryAlertStore(), Clock(0), when=quiet(0, 7))
    process.conditions.begin(Condition.TELEGRAM_AWAY, "refused")
    process.rule.found = stalled("poll")
    await process.check()

    assert [each.kind for each in process.channels["slack"].accepted] == ["telegram_away"]


def test_a_stalled_task_is_named_within_one_check() -> None:
    async def run() -> list[tuple[str, tuple[str, ...]]]:
        process = Process(MemoryAlertStore(), LoopClock(asyncio.get_running_loop()), after=5)
        leading = asyncio.create_task(process.alerts.lead())
        await asyncio.sleep(100.1)
        process.rule.found = stalled("poll")
        await asyncio.sleep(15)
        leading.cancel()
        return process.said

    assert in_virtual_time(run()) == [("opened", ("poll",))]


def test_a_database_that_refuses_ends_no_check_for_good() -> None:
    class Flaky(MemoryAlertStore):
        is_away = True

        async def unfinished(self) -> Any:
            if self.is_away:
                raise LedgerError("away")
            return await super().unfinished()

    async def run() -> list[tuple[str, tuple[str, ...]]]:
        store = Flaky()
        process = Process(store, LoopClock(asyncio.get_running_loop()))
        process.rule.found = stalled("poll")
        leading = asyncio.create_task(process.alerts.lead())
        await asyncio.sleep(300)
        store.is_away = False
        await asyncio.sleep(20)
        leading.cancel()
        return process.said

    assert in_virtual_time(run()) == [("opened", ("poll",))]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 1)), max_size=30))
def test_each_beginning_that_is_said_has_its_end_said_once_whatever_happens(
    steps: list[tuple[bool, bool, int]],
) -> None:
    """Channels come and go, and so do processes and what is wrong."""

    async def run() -> list[tuple[str, tuple[str, ...]]]:
        store, clock = MemoryAlertStore(), Clock()
        processes = [Process(store, clock), Process(store, clock)]
        slack = processes[0].channels["slack"]
        processes[1].channels["slack"] = slack
        processes[1].sender = Sender(store, {"slack": slack}, clock=clock)
        for is_wrong, is_away, number in [*steps, *[(False, False, 0)] * 2]:
            for process in processes:
                process.rule.found = stalled("poll") if is_wrong else []
            slack.answers = [Away("away")] * 9 if is_away else []
            await processes[number].check()
            clock.advance(600_000)
        return slack.events

    said = in_virtual_time(run())
    opened, ended = ("opened", ("poll",)), ("ended", ("poll",))
    assert said == [opened, ended] * (len(said) // 2)
