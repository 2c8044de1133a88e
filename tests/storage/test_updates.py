from __future__ import annotations

import asyncio

import pytest

from storage.database import Database
from storage.updates import ReceivedUpdate, Updates
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite


def received(update_id: int, at_ms: int = NOW_MS) -> ReceivedUpdate:
    return ReceivedUpdate(bot_id=BOT, update_id=update_id, body=b'{"update_id":1}', received_at_ms=at_ms)


class UpdatesContract:
    @pytest.fixture
    def updates(self, database: Database) -> Updates:
        return Updates(database, process=1)

    @pytest.fixture
    def next_updates(self, database: Database) -> Updates:
        return Updates(database, process=2)

    async def test_an_update_that_comes_again_is_stored_once(self, updates: Updates) -> None:
        assert await updates.receive(BOT, 1, b"{}", now_ms=NOW_MS)
        assert not await updates.receive(BOT, 1, b"{}", now_ms=NOW_MS + 1)
        assert await updates.receive(BOT + 1, 1, b"{}", now_ms=NOW_MS)

    async def test_an_update_that_comes_twice_at_once_is_new_to_one_caller(self, updates: Updates) -> None:
        answers = await asyncio.gather(*(updates.receive(BOT, 1, b"{}", now_ms=NOW_MS) for _ in range(20)))

        assert answers == [True] + [False] * 19

    async def test_callers_that_meet_share_a_transaction(self, updates: Updates, database: Database) -> None:
        await asyncio.gather(*(updates.receive(BOT, number, b"{}", now_ms=NOW_MS) for number in range(100)))

        assert database.transactions < 100

    async def test_what_a_process_left_is_taken_over_in_pages_in_the_order_of_arrival(
        self, updates: Updates, next_updates: Updates
    ) -> None:
        arrived = [received(9, NOW_MS), received(3, NOW_MS + 1), received(4, NOW_MS + 1)]
        await updates.receive_many(arrived[::-1])

        first = await next_updates.adopt(limit=2)
        second = await next_updates.adopt(limit=2)

        assert first + second == arrived
        assert await next_updates.adopt(limit=2) == []

    async def test_nobody_takes_over_his_own(self, updates: Updates) -> None:
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
    pass
