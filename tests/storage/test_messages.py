from __future__ import annotations

from typing import Any

import pytest

from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.messages import Status
from tempogram.engine.ports.ledger import Fault
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.lookups import After
from tempogram.storage.messages import Direction, Incoming, MessageHistory
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message

NEVER = Fault(code=400, reason="Bad Request: chat not found")


class HistoryContract:
    @pytest.fixture
    def ledger(self, database: Database) -> SqlLedger:
        return SqlLedger(database)

    @pytest.fixture
    def history(self, database: Database) -> MessageHistory:
        return MessageHistory(database)

    async def test_a_message_is_returned_with_every_attempt_in_order(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        sent = message()
        await ledger.add([sent])
        await ledger.record([became(sent, Status.QUEUED, fault=Fault(code=502, reason="Bad Gateway"))])
        await ledger.record([became(sent, Status.SENT, attempt=2, telegram_message_id=99)])

        state = await history.message(sent.id)

        assert state is not None
        assert (state.status, state.attempt, state.telegram_message_id) == (Status.SENT, 2, 99)
        assert (state.settled_at_ms, state.reason) == (NOW_MS + 200, None)
        assert [(each.number, each.outcome, each.code) for each in state.attempts] == [
            (1, "Failed", 502),
            (2, "Sent", None),
        ]

    async def test_a_message_that_was_never_submitted_is_unknown(self, history: MessageHistory) -> None:
        assert await history.message("nothing") is None

    async def test_dead_letters_are_counted(self, ledger: SqlLedger, history: MessageHistory) -> None:
        sent, given_up, waiting = message(), message(), message()
        await ledger.add([sent, given_up, waiting])
        await ledger.record([became(sent, Status.SENT), became(given_up, Status.DEAD, fault=NEVER)])

        assert await history.dead_count() == 1
        assert await history.dead_count(bot_id=BOT + 1) == 0

    async def test_dead_letters_come_in_pages_with_their_reason(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        given_up = [message() for _ in range(3)]
        await ledger.add(given_up)
        await ledger.record([became(each, Status.DEAD, fault=NEVER) for each in given_up])

        first = await history.dead(after_id="", limit=2)
        second = await history.dead(after_id=first[-1].id, limit=2)

        assert [each.id for each in first + second] == [each.id for each in given_up]
        assert first[0].reason == NEVER.reason

    async def test_dead_letters_can_be_chosen_by_their_tag(self, ledger: SqlLedger, history: MessageHistory) -> None:
        spring, plain, other = message(tag="spring"), message(), message(tag="autumn")
        await ledger.add([spring, plain, other])
        await ledger.record([became(each, Status.DEAD, fault=NEVER) for each in (spring, plain, other)])

        chosen = await history.dead(after_id="", limit=9, tag="spring")

        assert [(each.id, each.tag) for each in chosen] == [(spring.id, "spring")]
        assert [each.tag for each in await history.dead(after_id="", limit=9)] == ["spring", None, "autumn"]
        assert [each.tag for each in await history.replay([spring.id])] == ["spring"]

    async def test_a_replayed_dead_letter_is_queued_as_if_it_had_never_been_tried(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        given_up, waiting = message(expires_at_ms=NOW_MS), message()
        await ledger.add([given_up, waiting])
        await ledger.record([became(given_up, Status.DEAD, attempt=5, fault=NEVER)])

        [again] = await history.replay([given_up.id, waiting.id])

        assert (again.id, again.params, again.attempt, again.expires_at_ms) == (given_up.id, given_up.params, 0, None)
        assert await ledger.open_messages(after_id="", limit=9) == [again, waiting]

    async def test_a_replay_makes_only_its_own_chats_reachable_again(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        blocked, other, renamed = message(), message(chat_id=8), message(chat_id=-5)
        await ledger.add([blocked, other, renamed])
        lost = [became(each, Status.DEAD, fault=NEVER, unreachable=NEVER.reason) for each in (blocked, other, renamed)]
        moved = became(message(chat_id=-5), Status.DEAD, fault=NEVER, migrated_to=-1005)
        again = became(message(chat_id=-1005), Status.DEAD, fault=NEVER, unreachable=NEVER.reason)
        await ledger.record([*lost, moved, again])

        await history.replay([blocked.id, renamed.id])

        assert await ledger.unreachable_chats(limit=9) == [(BOT, 8, NEVER.reason)]

    async def test_a_replay_of_what_was_said_for_a_business_leaves_the_chat_itself_unreachable(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        own, for_shop = message(), message(params=b'{"business_connection_id":"shop"}')
        await ledger.add([own, for_shop])
        for each in (own, for_shop):
            name = conversation_of(each)
            await ledger.record([became(each, Status.DEAD, fault=NEVER, unreachable=NEVER.reason, conversation=name)])

        await history.replay([for_shop.id])

        assert await ledger.unreachable_chats(limit=9) == [(BOT, CHAT, NEVER.reason)]

    async def test_purged_dead_letters_are_gone(self, ledger: SqlLedger, history: MessageHistory) -> None:
        chosen, mine, others = message(), message(), message(bot_id=BOT + 1)
        await ledger.add([chosen, mine, others])
        await ledger.record([became(each, Status.DEAD, fault=NEVER) for each in (chosen, mine, others)])

        assert await history.purge_dead(message_ids=[chosen.id]) == 1
        assert await history.purge_dead(bot_id=BOT) == 1
        assert await history.purge_dead() == 1
        assert await history.dead_count() == 0

    async def test_a_chat_has_its_messages_in_both_directions(self, ledger: SqlLedger, history: MessageHistory) -> None:
        heard, said = message(), message()
        incoming = Incoming(
            id=heard.id, bot_id=BOT, chat_id=CHAT, update_id=5, telegram_message_id=8, received_at_ms=NOW_MS
        )
        await history.note_incoming(incoming)
        await history.note_incoming(incoming)
        await ledger.add([said, message(method="deleteMessage", cost=0)])

        lines = await history.of_chat(BOT, CHAT, before_id=None, limit=10)

        assert [(each.id, each.direction) for each in lines] == [(said.id, Direction.OUT), (heard.id, Direction.IN)]
        assert await history.message(heard.id) is None

    async def test_what_a_user_answers_is_found_by_telegrams_number(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        said, of_other_bot, elsewhere = message(chat_id=-5), message(chat_id=-5, bot_id=BOT + 1), message()
        await ledger.add([said, of_other_bot, elsewhere])
        await ledger.record([became(each, Status.SENT, telegram_message_id=99) for each in (said, elsewhere)])
        await ledger.record([became(of_other_bot, Status.SENT, telegram_message_id=98)])
        await history.note_incoming(incoming(message(chat_id=-5).id, chat_id=-5, telegram_message_id=97))

        found = await history.of_number(-5, 99, bot_id=BOT)

        assert [(each.id, each.bot_id, each.chat_id, each.status) for each in found] == [(said.id, BOT, -5, "sent")]
        assert await history.of_number(-5, 97, bot_id=BOT) == []
        assert await history.of_number(-5, 98, bot_id=BOT) == []

    async def test_a_message_of_a_group_is_found_whichever_bot_sent_or_received_it(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        said = message(chat_id=-5, bot_id=BOT + 1)
        await ledger.add([said])
        await ledger.record([became(said, Status.SENT, telegram_message_id=99)])
        heard = incoming(message().id, chat_id=-5, telegram_message_id=99)
        await history.note_incoming(heard)

        found = await history.of_number(-5, 99)

        assert {(each.id, each.direction) for each in found} == {(said.id, Direction.OUT), (heard.id, Direction.IN)}
        assert await history.of_number(-6, 99) == []

    async def test_an_album_is_found_by_the_number_of_any_of_its_items(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        album, after = message(method="sendMediaGroup", cost=3), message()
        await ledger.add([album, after])
        sent = became(album, Status.SENT, telegram_message_id=50, item_ids=(50, 51, 52))
        await ledger.record([sent, became(after, Status.SENT, telegram_message_id=53)])

        found = [await history.of_number(CHAT, number, bot_id=BOT) for number in range(49, 55)]

        assert [[each.id for each in some] for some in found] == [[], *[[album.id]] * 3, [after.id], []]

    async def test_a_message_of_a_public_chat_is_found_by_its_id_and_its_name(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        by_name, by_id = message(chat_id="@news"), message(chat_id=-1001)
        await ledger.add([by_name, by_id])
        await ledger.record([became(by_name, Status.SENT, telegram_message_id=5, migrated_to=-1001)])
        await ledger.record([became(by_id, Status.SENT, telegram_message_id=6)])

        found = [await history.of_number(chat, number, bot_id=BOT) for chat in ("@news", -1001) for number in (5, 6)]

        assert [[each.id for each in some] for some in found] == [[by_name.id], [by_id.id]] * 2

    async def test_a_number_of_a_group_is_another_message_in_its_supergroup(
        self, ledger: SqlLedger, history: MessageHistory
    ) -> None:
        before, moved, after = message(chat_id=-5), message(chat_id=-5), message(chat_id=-1005)
        await ledger.add([before, after])
        await ledger.record([became(before, Status.SENT, telegram_message_id=17)])
        await ledger.record([became(moved, Status.QUEUED, migrated_to=-1005)])
        await ledger.record([became(after, Status.SENT, telegram_message_id=17)])

        found = [await history.of_number(chat, 17, bot_id=BOT) for chat in (-5, -1005)]

        assert [[each.id for each in some] for some in found] == [[before.id], [after.id]]

    async def test_what_a_bot_received_comes_in_pages_by_its_time(self, history: MessageHistory) -> None:
        times = [0, 5, 5, 5, 9]  # three at once
        heard = [
            incoming(message().id, update_id=number, received_at_ms=NOW_MS + at) for number, at in enumerate(times)
        ]
        for each in (*heard, incoming(message().id, bot_id=BOT + 1)):
            await history.note_incoming(each)

        pages, after = [], None
        while page := await history.incoming(BOT, since_ms=NOW_MS + 1, until_ms=NOW_MS + 9, after=after, limit=2):
            pages.append([each.id for each in page])
            after = After(page[-1].submitted_at_ms, page[-1].id)

        assert pages == [[heard[1].id, heard[2].id], [heard[3].id]]


def incoming(message_id: str, **changes: Any) -> Incoming:
    usual = {"bot_id": BOT, "chat_id": CHAT, "update_id": 5, "telegram_message_id": 8, "received_at_ms": NOW_MS}
    return Incoming(id=message_id, **usual | changes)


class TestHistoryOnSqlite(OnSqlite, HistoryContract):
    pass


class TestHistoryOnPostgres(OnPostgres, HistoryContract):
    pass
