from __future__ import annotations

import pytest

from tempogram.engine.model.conversations import conversation_of
from tempogram.engine.model.messages import Status
from tempogram.engine.ports.ledger import Fault
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
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


class TestHistoryOnSqlite(OnSqlite, HistoryContract):
    pass


class TestHistoryOnPostgres(OnPostgres, HistoryContract):
    pass
