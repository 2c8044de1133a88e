from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.model.messages import Hold, PausedBy, Status
from tempogram.engine.ports.alert_store import LongHold, Troubles
from tempogram.engine.ports.ledger import Fault
from tempogram.engine.scheduler.status import TaskStatus, health_of
from tempogram.storage.alerts.readings import SqlAlertReadings
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tests.engine.scheduler.store_contract import declared
from tests.fakes import START_MS
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite, became, message

MINUTE_MS = 60_000


async def look(readings: SqlAlertReadings, now_ms: int = START_MS, **changes: int) -> Troubles:
    usual = {"tasks_now_ms": now_ms, "hold_over_ms": 300_000, "dead_since_ms": now_ms, "dead_up_to": 10}
    return await readings.look(now_ms, **usual | changes)


class ReadingsContract:
    @pytest.fixture
    def readings(self, database: Database) -> SqlAlertReadings:
        return SqlAlertReadings(database)

    async def test_late_and_failing_tasks_are_read_but_not_those_that_are_paused_or_gone(
        self, database: Database, readings: SqlAlertReadings
    ) -> None:
        store = SqlTaskStore(database)
        failing = declared("failing", next_due_ms=START_MS + 9 * MINUTE_MS, is_failing=True)
        rows = [
            declared("late", run_id="hangs", run_until_ms=START_MS + 9 * MINUTE_MS),
            declared("well", next_due_ms=START_MS + 9 * MINUTE_MS),
            failing,
            declared("paused", is_paused=True),
            declared("gone", is_declared=False),
            declared("over", next_due_ms=0),
        ]
        await store.declare(rows)

        read = (await look(readings, START_MS + 5 * MINUTE_MS)).tasks

        assert read == [failing, replace(rows[0])]

    async def test_no_stalled_task_is_missed(self, database: Database, readings: SqlAlertReadings) -> None:
        """What is read by the time that it was due is judged by ``health_of``: none may be stalled before that."""
        rows = [
            declared(f"{due}-{last}", next_due_ms=START_MS + due * MINUTE_MS, last_run_ms=START_MS + last * MINUTE_MS)
            for due in range(-4, 5)
            for last in range(-4, 5)
        ]
        await SqlTaskStore(database).declare(rows)

        read = {row.name for row in (await look(readings, START_MS)).tasks}

        stalled = {row.name for row in rows if health_of(row, START_MS).status is TaskStatus.STALLED}
        assert stalled
        assert stalled <= read

    async def test_bots_whose_token_is_refused_or_missing_are_read(
        self, database: Database, readings: SqlAlertReadings
    ) -> None:
        bots, ledger = Bots(database, Seal("a-secret-key-for-tests")), SqlLedger(database)
        for bot_id in (1, 2, 3, 4):
            await bots.add(bot_id, f"{bot_id}:t", username=f"b{bot_id}", first_name="", behaviours={}, now_ms=START_MS)
        await ledger.pause(2, paused=True, by=PausedBy.TOKEN)
        await ledger.pause(3, paused=True)
        await database.write_alone(
            lambda connection: connection.exec_driver_sql("UPDATE bots SET sealed_token = NULL WHERE bot_id = 4")
        )
        await bots.remove(1, keep_messages=False)

        assert (await look(readings)).bots_without_token == [(2, "b2"), (4, "b4")]

    async def test_holds_of_whole_bots_are_long_by_their_whole_time(
        self, database: Database, readings: SqlAlertReadings
    ) -> None:
        ledger = SqlLedger(database)
        holds = [Hold(1, None, START_MS + 400_000), Hold(2, None, START_MS + 300_000), Hold(3, 7, START_MS + 900_000)]
        await ledger.record_holds(holds, now_ms=START_MS)

        read = [(await look(readings, START_MS + passed_ms)).holds for passed_ms in (0, 399_999, 400_000)]

        hold = LongHold(1, "", START_MS, START_MS + 400_000)
        assert read == [[hold], [hold], []]

    async def test_dead_letters_are_counted_since_a_time_and_up_to_a_number(
        self, database: Database, readings: SqlAlertReadings
    ) -> None:
        ledger = SqlLedger(database)
        dead = [message() for _ in range(5)]
        await ledger.add(dead)
        await ledger.record(
            [
                became(each, Status.DEAD, fault=Fault(code=400, reason="no"), recorded_at_ms=NOW_MS + number)
                for number, each in enumerate(dead)
            ]
        )

        counted = [
            (await look(readings, dead_since_ms=NOW_MS + since, dead_up_to=up_to)).dead
            for since, up_to in ((0, 9), (2, 9), (0, 4))
        ]

        assert counted == [5, 3, 4]


class TestOnSqlite(OnSqlite, ReadingsContract):
    pass


class TestOnPostgres(OnPostgres, ReadingsContract):
    pass
