from __future__ import annotations

from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.beats import SqlBeats
from tests.fakes import START_MS
from tests.storage.backends import OnPostgres, OnSqlite


def beat(process: str, loop: str, at_ms: int = START_MS) -> LoopBeat:
    return LoopBeat(process=process, loop=loop, role="worker", at_ms=at_ms, every_ms=60_000)


class BeatsContract:
    async def test_a_report_replaces_that_of_the_same_process(self, database: Database) -> None:
        beats = SqlBeats(database)

        await beats.report("aa", [beat("aa", "recoverer"), beat("aa", "worker")], alive=["aa", "bb"])
        await beats.report("bb", [beat("bb", "recoverer")], alive=["aa", "bb"])
        await beats.report("aa", [beat("aa", "recoverer", START_MS + 60_000)], alive=["aa", "bb"])

        assert await beats.beats() == [beat("aa", "recoverer", START_MS + 60_000), beat("bb", "recoverer")]

    async def test_a_report_deletes_those_of_processes_that_died(self, database: Database) -> None:
        beats = SqlBeats(database)
        await beats.report("aa", [beat("aa", "recoverer")], alive=["aa"])

        await beats.report("bb", [beat("bb", "recoverer")], alive=["bb"])

        assert await beats.beats() == [beat("bb", "recoverer")]

    async def test_an_empty_report_deletes_what_a_process_has_reported(self, database: Database) -> None:
        beats = SqlBeats(database)
        await beats.report("aa", [beat("aa", "recoverer")], alive=["aa"])

        await beats.report("aa", [], alive=[])

        assert await beats.beats() == []


class TestOnSqlite(OnSqlite, BeatsContract):
    pass


class TestOnPostgres(OnPostgres, BeatsContract):
    pass
