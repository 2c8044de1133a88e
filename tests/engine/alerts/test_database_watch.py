from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from tempogram.engine.alerts.channel import Away, Tried
from tempogram.engine.alerts.database_watch import LED_MS, DatabaseWatch
from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.notices import When
from tempogram.engine.alerts.quiet_hours import QuietHours
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import Alert, Mark, NoticeRow
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.engine.alerts.values import ListChannel
from tests.virtual_time import LoopClock, in_virtual_time


class Database(MemoryAlertStore):
    """It can be away."""

    is_away = False

    async def ask(self) -> None:
        if self.is_away:
            raise LedgerError("away")

    async def open(self, alerts: Sequence[Alert]) -> None:
        await self.ask()
        await super().open(alerts)

    async def say(self, mark: Mark, alerts: Sequence[Alert], at_ms: int, rows: Sequence[NoticeRow]) -> bool:
        await self.ask()
        return await super().say(mark, alerts, at_ms, rows)


class Process:
    def __init__(self, database: Database, *answers: Tried, leads: bool = True, when: When | None = None) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.slack = ListChannel(*answers)
        self.conditions = Conditions(self.clock)
        self.watch = DatabaseWatch(
            database.ask,
            database,
            {"slack": self.slack},
            conditions=self.conditions,
            when=when or When(),
            after=2,
            clock=self.clock,
        )
        self.watch.is_leading = leads

    async def checks(self, number: int) -> None:
        for _ in range(number):
            await self.watch.check()
            await asyncio.sleep(15)

    @property
    def said(self) -> list[str]:
        return [each.event.value for each in self.slack.accepted]


def test_a_database_that_is_away_is_said_from_memory_after_so_many_checks() -> None:
    async def run() -> tuple[list[str], list[str], list[str]]:
        database = Database()
        process = Process(database)
        await process.checks(3)
        database.is_away = True
        await process.checks(1)
        early = process.said
        await process.checks(1)
        late = process.said
        await process.checks(10)
        await process.watch.close()
        return early, late, process.said

    assert in_virtual_time(run()) == ([], ["opened"], ["opened"])


def test_its_end_is_handed_to_the_database_and_so_outlives_the_process() -> None:
    async def run() -> tuple[list[str], list[tuple[str, str]], Alert]:
        database = Database()
        process = Process(database)
        await process.checks(1)
        database.is_away = True
        await process.checks(4)
        database.is_away = False
        await process.checks(4)
        rows = [(row.channel, row.notice.event.value) for row in database.rows.values()]
        return process.said, rows, next(iter(database.alerts.values()))

    said, rows, alert = in_virtual_time(run())
    assert said == ["opened"]
    assert rows == [("slack", "ended")]
    assert (alert.kind, alert.ended_at_ms - alert.opened_at_ms) == ("database_away", 60_000)


def test_what_a_channel_has_not_taken_by_then_is_handed_over_too() -> None:
    async def run() -> list[str]:
        database = Database()
        process = Process(database, *[Away("away")] * 99)
        await process.checks(1)
        database.is_away = True
        await process.checks(4)
        database.is_away = False
        await process.checks(3)
        rows = await database.waiting(["slack"], process.clock() + 999_999, limit=9)
        return [row.notice.event.value for row in rows]

    assert in_virtual_time(run()) == ["opened", "ended"]


def test_a_process_that_did_not_lead_says_nothing() -> None:
    async def run() -> list[str]:
        database = Database()
        process = Process(database, leads=False)
        await process.checks(1)
        database.is_away = True
        await process.checks(5)
        return process.said

    assert in_virtual_time(run()) == []


def test_a_process_whose_lead_ended_with_the_database_says_it() -> None:
    async def run(pause_s: float) -> list[str]:
        database = Database()
        process = Process(database)
        await process.checks(1)
        process.watch.is_leading = False
        await asyncio.sleep(pause_s)
        await process.watch.check()
        database.is_away = True
        await process.checks(5)
        await process.watch.close()
        return process.said

    assert in_virtual_time(run(0)) == ["opened"]
    assert in_virtual_time(run(LED_MS / 1_000)) == []


def test_a_database_that_takes_no_writes_is_away() -> None:
    async def run() -> list[str]:
        process = Process(Database())
        process.conditions.begin(Condition.LEDGER_AWAY, "the disk is full")
        await process.checks(3)
        await process.watch.close()
        return process.said

    assert in_virtual_time(run()) == ["opened"]


def test_an_outage_shorter_than_so_many_checks_is_not_said() -> None:
    async def run() -> tuple[list[str], int]:
        database = Database()
        process = Process(database)
        for is_away in (True, False, True, False):
            database.is_away = is_away
            await process.checks(1)
        return process.said, len(database.rows)

    assert in_virtual_time(run()) == ([], 0)


def test_in_quiet_hours_it_is_said_if_it_is_urgent() -> None:
    async def run(urgent: set[str]) -> list[str]:
        all_day = QuietHours(time(0), time(23, 59, 59, 999_999), ZoneInfo("UTC"))
        database = Database()
        process = Process(database, when=When(quiet=all_day, urgent=urgent))
        database.is_away = True
        await process.checks(4)
        database.is_away = False
        await process.checks(4)
        return process.said + [row.notice.event.value for row in database.rows.values()]

    assert in_virtual_time(run({"database_away"})) == ["opened", "ended"]
    assert in_virtual_time(run(set())) == []


def test_a_database_that_does_not_answer_is_away() -> None:
    async def run() -> bool:
        database = Database()
        process = Process(database)

        async def hang() -> Any:
            await asyncio.sleep(3_600)

        process.watch._ask = hang
        await process.checks(2)
        await process.watch.close()
        return process.watch.alert is not None

    assert in_virtual_time(run())
