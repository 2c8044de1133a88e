from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import URL, QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import reading_engine
from tempogram.storage.processes import membership as membership_of
from tempogram.storage.processes.epochs import Announcements
from tempogram.storage.processes.membership import membership
from tempogram.storage.updates import ReceivedUpdate, Updates
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run

Answer = TypeVar("Answer")


def received(update_id: int, at_ms: int = NOW_MS) -> ReceivedUpdate:
    return ReceivedUpdate(bot_id=BOT, update_id=update_id, body=b'{"update_id":1}', received_at_ms=at_ms)


class UpdatesContract:
    @pytest.fixture
    def updates(self, database: Database) -> Updates:
        return Updates(database, process=1)

    @pytest.fixture
    def next_updates(self, database: Database) -> Updates:
        return Updates(database, process=2)

    async def test_a_repeated_update_is_stored_once(self, updates: Updates) -> None:
        assert await updates.receive(BOT, 1, b"{}", now_ms=NOW_MS)
        assert not await updates.receive(BOT, 1, b"{}", now_ms=NOW_MS + 1)
        assert await updates.receive(BOT + 1, 1, b"{}", now_ms=NOW_MS)

    async def test_an_update_received_twice_at_once_is_new_to_one_caller(self, updates: Updates) -> None:
        answers = await asyncio.gather(*(updates.receive(BOT, 1, b"{}", now_ms=NOW_MS) for _ in range(20)))

        assert answers == [True] + [False] * 19

    async def test_concurrent_callers_share_a_transaction(self, updates: Updates, database: Database) -> None:
        await asyncio.gather(*(updates.receive(BOT, number, b"{}", now_ms=NOW_MS) for number in range(100)))

        assert database.transactions < 100

    async def test_updates_of_a_dead_process_are_adopted_in_pages_in_order_of_arrival(
        self, updates: Updates, next_updates: Updates
    ) -> None:
        arrived = [received(9, NOW_MS), received(3, NOW_MS + 1), received(4, NOW_MS + 1)]
        await updates.receive_many(arrived[::-1])

        first = await next_updates.adopt(limit=2)
        second = await next_updates.adopt(limit=2)

        assert first + second == arrived
        assert await next_updates.adopt(limit=2) == []

    async def test_a_process_does_not_adopt_its_own_updates(self, updates: Updates) -> None:
        await updates.receive_many([received(1)])

        assert await updates.adopt(limit=9) == []

    async def test_a_handled_or_failed_update_is_not_handled_again(
        self, updates: Updates, next_updates: Updates
    ) -> None:
        await updates.receive_many([received(1), received(2), received(3)])

        await updates.mark_handled([(BOT, 1)], now_ms=NOW_MS)
        await updates.mark_failed(BOT, 2, reason="ValueError", now_ms=NOW_MS)

        assert await next_updates.adopt(limit=9) == [received(3)]
        assert not await updates.receive(BOT, 1, b"{}", now_ms=NOW_MS)


class TestUpdatesOnSqlite(OnSqlite, UpdatesContract):
    pass


class TestUpdatesOnPostgres(OnPostgres, UpdatesContract):
    async def test_unhandled_updates_of_a_living_process_are_not_adopted(
        self, url: str, updates: Updates, next_updates: Updates
    ) -> None:
        await updates.receive_many([received(1)])

        async with membership(url, 1):
            left_alone = await next_updates.adopt(limit=9)
        taken_over = await next_updates.adopt(limit=9)

        assert (left_alone, taken_over) == ([], [received(1)])

    async def test_two_processes_that_adopt_at_once_take_each_update_once(
        self, url: str, updates: Updates, next_updates: Updates, database: Database
    ) -> None:
        await updates.receive_many([received(number) for number in range(50)])
        others = [next_updates, Updates(database, process=3)]

        async with membership(url, 2), membership(url, 3):
            taken = await asyncio.gather(*(each.adopt(limit=99) for each in others))

        assert sorted(map(len, taken)) == [0, 50]

    async def test_a_process_that_lost_its_connection_is_alive_again(
        self, url: str, updates: Updates, next_updates: Updates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 0.05)
        async with membership(url, 1):
            await run(url, DISCONNECT_OTHERS)
            await asyncio.sleep(0.5)
            await _again(lambda: updates.receive_many([received(1)]))

            assert await _again(lambda: next_updates.adopt(limit=9)) == []

    async def test_a_lost_process_lock_and_its_return_are_logged_once_each(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 0)
        announcements = Announcements()
        announcements.begin()
        answers = iter([True, OSError("refused"), OSError("refused"), False, True, True])
        with capture_logs() as logged:
            await _ended(membership_of._keep(Answering(answers), 1, announcements))  # type: ignore[arg-type]

        assert [each["event"] for each in logged] == ["process_lock_lost", "process_lock_regained"]

    async def test_a_process_whose_number_is_taken_leaves_no_connection_open(
        self, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engines: list[AsyncEngine] = []

        def noted(url: URL, *, query_timeout_s: float) -> AsyncEngine:
            engines.append(reading_engine(url, query_timeout_s=query_timeout_s))
            return engines[-1]

        monkeypatch.setattr(membership_of, "reading_engine", noted)
        async with membership(url, 1):
            with pytest.raises(SettingsError, match="another process drew the same random number, 1"):
                async with membership(url, 1):
                    pass

            first, refused = (each.pool for each in engines)
            assert isinstance(first, QueuePool)
            assert isinstance(refused, QueuePool)
            assert (first.checkedout(), refused.checkedout(), refused.checkedin()) == (1, 0, 0)


class Answering:
    """A lock that is lost at every check, and answers as given when it is taken."""

    def __init__(self, answers: Iterator[bool | OSError]) -> None:
        self._answers = answers

    async def is_held(self, *, within_s: float) -> bool:
        return False

    async def take(self) -> bool:
        match next(self._answers, None):
            case None:
                raise asyncio.CancelledError
            case OSError() as error:
                raise error
            case bool() as taken:
                return taken

    async def release(self) -> None:
        """There is no connection."""


async def _ended(work: Awaitable[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _again(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Try until the pool has noticed that its connections are gone."""
    while True:
        with contextlib.suppress(LedgerError):
            return await work()
