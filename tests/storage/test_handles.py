from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from tempogram.engine.model.messages import PARKED_MS, Outgoing, Priority, Status
from tempogram.engine.ports import Fault, Handles, Ledger, Referral
from tempogram.storage.database.database import Database
from tempogram.storage.handles import SqlHandles
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tempogram.storage.retention import HOUR_MS, Retention, RetentionPeriods
from tests.bot.memory_handles import MemoryHandles
from tests.fakes import Clock
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite, became, message

DAY_MS = 24 * HOUR_MS
NEVER = Fault(code=400, reason="Bad Request: message text is empty")


async def added(ledger: Ledger, **changes: Any) -> Outgoing:
    new = message(**changes)
    await ledger.add([new])
    return new


class HandlesContract:
    async def test_handles_are_counted_down_for_each_bot(self, handles: Handles, ledger: Ledger) -> None:
        first, album, other = await added(ledger), await added(ledger), await added(ledger, bot_id=43)

        assert await handles.hand_out(BOT, first.id, 1) == [-1]
        assert await handles.hand_out(BOT, album.id, 3) == [-2, -3, -4]
        assert await handles.hand_out(43, other.id, 1) == [-1]

    async def test_a_message_has_the_same_handles_whenever_they_are_asked_for(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        album = await added(ledger)

        answers = await asyncio.gather(*(handles.hand_out(BOT, album.id, 2) for _ in range(5)))

        assert answers == [[-1, -2]] * 5
        assert await handles.hand_out(BOT, (await added(ledger)).id, 1) == [-3]

    async def test_the_handles_of_a_message_are_those_that_were_handed_out(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        album = await added(ledger)
        before = await handles.handed_out(album.id)
        numbers = await handles.hand_out(BOT, album.id, 2)

        assert (before, await handles.handed_out(album.id)) == ([], numbers)

    @pytest.mark.parametrize("number", [-(1 << 31) - 1, -(1 << 70)])
    async def test_a_number_lower_than_any_handle_stands_for_nothing(self, handles: Handles, number: int) -> None:
        assert await handles.targets(BOT, [number]) == {}

    async def test_many_who_ask_at_once_get_different_handles(self, handles: Handles, ledger: Ledger) -> None:
        messages = [await added(ledger) for _ in range(30)]

        answers = await asyncio.gather(*(handles.hand_out(BOT, each.id, 1) for each in messages))

        assert sorted(number for (number,) in answers) == list(range(-30, 0))

    async def test_a_handle_stands_for_a_message_that_waits(self, handles: Handles, ledger: Ledger) -> None:
        waiting = await added(ledger, priority=Priority.HIGH, chat_id=-5)
        await handles.hand_out(BOT, waiting.id, 1)

        targets = await handles.targets(BOT, [-1, -2])

        assert list(targets) == [-1]
        target = targets[-1]
        assert (target.message_id, target.chat_id, target.method) == (waiting.id, -5, "sendMessage")
        assert (target.priority, target.items, target.is_open) == (Priority.HIGH, 1, True)
        assert target.telegram_message_id is None
        assert await handles.targets(43, [-1]) == {}

    @pytest.mark.parametrize("number", [-(2**31) - 1, -(2**63) - 1, 2**63, -(10**400)])
    async def test_a_number_beyond_every_handle_stands_for_nothing(self, handles: Handles, number: int) -> None:
        """Such a `message_id` of a client's was answered with a 500."""
        assert await handles.targets(BOT, [number]) == {}

    async def test_a_handle_tells_the_number_of_a_message_once_it_is_sent(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        sent = await added(ledger)
        await handles.hand_out(BOT, sent.id, 1)
        await ledger.record([became(sent, Status.SENT, telegram_message_id=99)])

        target = (await handles.targets(BOT, [-1]))[-1]

        assert (target.telegram_message_id, target.is_open) == (99, False)
        assert target.settled_at_ms == NOW_MS + 200

    async def test_each_item_of_an_album_has_its_own_number(self, handles: Handles, ledger: Ledger) -> None:
        album = await added(ledger, cost=3)
        numbers = await handles.hand_out(BOT, album.id, 3)
        await ledger.record([became(album, Status.SENT, telegram_message_id=7, item_ids=(7, 8, 12))])

        targets = await handles.targets(BOT, numbers)

        assert [targets[number].telegram_message_id for number in numbers] == [7, 8, 12]

    async def test_of_an_album_that_arrived_in_parts_the_last_items_are_known(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        album = await added(ledger, cost=3)
        numbers = await handles.hand_out(BOT, album.id, 3)
        await ledger.record([became(album, Status.SENT, telegram_message_id=12)])

        targets = await handles.targets(BOT, numbers)

        assert [targets[number].telegram_message_id for number in numbers] == [None, None, 12]

    async def test_a_handle_tells_why_its_message_was_not_sent(self, handles: Handles, ledger: Ledger) -> None:
        refused = await added(ledger)
        await handles.hand_out(BOT, refused.id, 1)
        await ledger.record([became(refused, Status.DEAD, fault=NEVER)])

        target = (await handles.targets(BOT, [-1]))[-1]

        assert (target.status, target.reason) == (Status.DEAD, NEVER.reason)

    async def test_a_handle_knows_the_present_id_of_its_chat(self, handles: Handles, ledger: Ledger) -> None:
        waiting, moved = await added(ledger, chat_id=-5), await added(ledger, chat_id=-5)
        await handles.hand_out(BOT, waiting.id, 1)
        await ledger.record([became(moved, Status.QUEUED, migrated_to=-1005)])

        assert (await handles.targets(BOT, [-1]))[-1].chat_id == -1005

    async def test_open_messages_that_refer_to_another_are_found(self, handles: Handles, ledger: Ledger) -> None:
        target, other = await added(ledger), await added(ledger)
        edit, pin, ended, behind = [
            message(method="editMessageText"),
            message(method="pinChatMessage", ready_at_ms=PARKED_MS),
            message(),
            message(),
        ]
        for each in (edit, pin, ended):
            await handles.refer(each.id, [target.id], after_ids=[target.id])
        await handles.refer(behind.id, [other.id], after_ids=[target.id])
        await ledger.add([edit, pin, ended, behind])
        await ledger.record([became(ended, Status.SENT)])

        referrals = await handles.referrals([target.id])

        assert referrals == [
            Referral(
                message_id=each.id,
                target_id=target.id,
                chat_id=each.chat_id,
                method=each.method,
                priority=each.priority,
                ready_at_ms=each.ready_at_ms,
            )
            for each in (edit, pin)
        ]
        assert [each.is_parked for each in referrals] == [False, True]
        assert await handles.referrals([]) == []

    async def test_a_parked_message_may_go_when_all_that_it_waits_for_has_ended(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        first, second = await added(ledger), await added(ledger)
        parked = message(ready_at_ms=PARKED_MS)
        await handles.refer(parked.id, [first.id], after_ids=[first.id, second.id])
        await ledger.add([parked])
        found = [await handles.releasable(limit=10)]
        awaited = [await handles.awaited(parked.id)]
        for each, status in ((first, Status.SENT), (second, Status.DEAD)):
            await ledger.record([became(each, status, fault=NEVER if status is Status.DEAD else None)])
            found.append(await handles.releasable(limit=10))
            awaited.append(await handles.awaited(parked.id))

        assert found == [[], [], [parked.id]]
        assert [sorted(each) for each in awaited] == [[first.id, second.id], [second.id], []]

    async def test_a_message_that_goes_behind_another_in_its_lane_is_not_released(
        self, handles: Handles, ledger: Ledger
    ) -> None:
        target, edit = await added(ledger), message(method="editMessageText")
        await handles.refer(edit.id, [target.id], after_ids=[target.id])
        await ledger.add([edit])
        await ledger.record([became(target, Status.SENT)])

        assert await handles.releasable(limit=10) == []

    async def test_a_released_message_is_not_released_again(self, handles: Handles, ledger: Ledger) -> None:
        target, parked = await added(ledger), message(ready_at_ms=PARKED_MS)
        await handles.refer(parked.id, [target.id], after_ids=[target.id])
        await ledger.add([parked])
        await ledger.record([became(target, Status.SENT)])
        assert await handles.releasable(limit=10) == [parked.id]

        await ledger.amend([structs.replace(parked, ready_at_ms=0)])

        assert await handles.releasable(limit=10) == []


class TestMemoryHandles(HandlesContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger(Clock(NOW_MS))

    @pytest.fixture
    def handles(self, ledger: MemoryLedger) -> MemoryHandles:
        return MemoryHandles(ledger)


class SqlHandlesContract(HandlesContract):
    @pytest.fixture
    def ledger(self, database: Database) -> SqlLedger:
        return SqlLedger(database)

    @pytest.fixture
    def handles(self, database: Database) -> SqlHandles:
        return SqlHandles(database)

    async def test_no_number_is_given_twice_though_its_message_is_gone(
        self, handles: Handles, ledger: Ledger, database: Database
    ) -> None:
        old = await added(ledger)
        await handles.hand_out(BOT, old.id, 1)
        await ledger.record([became(old, Status.SENT)])
        keep = RetentionPeriods(messages_ms=DAY_MS, dead_ms=DAY_MS, texts_ms=DAY_MS)
        await Retention(database, keep=keep, clock=Clock(NOW_MS + 3 * DAY_MS)).purge()

        assert await handles.targets(BOT, [-1]) == {}
        assert await handles.hand_out(BOT, (await added(ledger)).id, 1) == [-2]

    async def test_what_refers_to_others_is_forgotten_once_it_has_ended(
        self, handles: Handles, ledger: Ledger, database: Database
    ) -> None:
        target, ended, waiting = await added(ledger), message(), message()
        for each in (ended, waiting):
            await handles.refer(each.id, [target.id], after_ids=[target.id])
        await ledger.add([ended, waiting])
        await ledger.record([became(ended, Status.SENT)])
        keep = RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=DAY_MS)

        removed = await Retention(database, keep=keep, clock=Clock(NOW_MS + 2 * HOUR_MS)).purge()

        assert removed["referrals"] == 1
        assert [each.message_id for each in await handles.referrals([target.id])] == [waiting.id]


class TestHandlesOnSqlite(OnSqlite, SqlHandlesContract):
    """One process."""


class TestHandlesOnPostgres(OnPostgres, SqlHandlesContract):
    async def test_two_processes_that_hand_out_at_once_give_different_numbers(
        self, ledger: Ledger, url: str, database: Database
    ) -> None:
        other = await Database.open(url)
        try:
            both = SqlHandles(database), SqlHandles(other)
            messages = [await added(ledger) for _ in range(40)]
            answers = await asyncio.gather(
                *(both[index % 2].hand_out(BOT, each.id, 1) for index, each in enumerate(messages))
            )
        finally:
            await other.close()

        assert sorted(number for (number,) in answers) == list(range(-40, 0))
