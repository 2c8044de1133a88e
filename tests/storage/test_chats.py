from __future__ import annotations

import pytest

from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.ledger import Fault, Record
from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message

BLOCKED = Fault(code=403, reason="Forbidden: bot was blocked by the user")


def moved(chat_id: ChatId, to_chat_id: ChatId) -> Record:
    """Return the record of an attempt that taught another id of a chat."""
    return became(message(chat_id=chat_id), Status.QUEUED, migrated_to=to_chat_id)


class ChatsContract:
    @pytest.fixture
    def chats(self, database: Database) -> Chats:
        return Chats(database)

    @pytest.fixture
    def ledger(self, database: Database) -> SqlLedger:
        return SqlLedger(database)

    async def test_an_unknown_chat_counts_as_reachable(self, chats: Chats, ledger: SqlLedger) -> None:
        assert await chats.get(BOT, CHAT) is None
        assert await ledger.unreachable_chats(limit=9) == []

    async def test_the_titles_of_chats_are_read_at_once(self, chats: Chats) -> None:
        for chat_id, title in ((5, "Anna"), (-100_7, "Chess club"), (6, None)):
            await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=chat_id, at_ms=NOW_MS, title=title))

        assert await chats.titles(limit=9) == {5: "Anna", -100_7: "Chess club"}
        assert len(await chats.titles(limit=1)) == 1

    async def test_a_chat_is_reachable_again_when_a_user_writes_in_it(self, chats: Chats, ledger: SqlLedger) -> None:
        await ledger.record([became(message(), Status.DEAD, fault=BLOCKED, unreachable=BLOCKED.reason)])
        lost = await ledger.unreachable_chats(limit=9)

        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=NOW_MS))

        assert lost == [(BOT, CHAT, BLOCKED.reason)]
        assert await ledger.unreachable_chats(limit=9) == []

    async def test_a_chat_that_the_bot_left_is_unreachable_until_it_is_joined_again(
        self, chats: Chats, ledger: SqlLedger
    ) -> None:
        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=-5, at_ms=NOW_MS, title="Chess"))

        await chats.mark_unreachable(BOT, -5, "Forbidden: gone")
        lost = await ledger.unreachable_chats(limit=9)
        await chats.mark_reachable(BOT, -5)

        chat = await chats.get(BOT, -5)
        assert lost == [(BOT, -5, "Forbidden: gone")]
        assert chat is not None
        assert (chat.reachable, chat.reason, chat.title) == (True, None, "Chess")

    async def test_the_lost_conversations_of_a_business_connection_are_found(self, chats: Chats) -> None:
        names = [conversation(7, "a_b"), conversation(8, "a_b"), conversation(7, "a%b"), conversation(7, "aXb"), 7]
        for name in names:
            await chats.mark_unreachable(BOT, name, "Forbidden: gone")
        await chats.mark_reachable(BOT, names[1])

        assert await chats.lost_of_business(BOT, "a_b") == names[:1]
        assert await chats.lost_of_business(BOT + 1, "a_b") == []

    async def test_a_title_stays_when_the_next_message_has_none(self, chats: Chats) -> None:
        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=-5, at_ms=NOW_MS, title="Chess", type="group"))

        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=-5, at_ms=NOW_MS + 1))

        chat = await chats.get(BOT, -5)
        assert chat is not None
        assert (chat.title, chat.type, chat.last_message_in_at_ms) == ("Chess", "group", NOW_MS + 1)

    async def test_aliases_of_an_old_id_become_aliases_of_the_new_one(self, ledger: SqlLedger) -> None:
        await ledger.record([moved("@chess", -5)])
        await ledger.record([moved(-5, -1005)])

        at_ms = NOW_MS + 200
        assert sorted(await ledger.aliases(), key=repr) == [(BOT, "@chess", -1005, at_ms), (BOT, -5, -1005, at_ms)]

    async def test_chats_are_returned_with_their_present_ids_and_why_they_are_unreachable(
        self, ledger: SqlLedger, chats: Chats
    ) -> None:
        await ledger.record([moved("@chess", -5)])
        await chats.mark_unreachable(BOT, 7, "Forbidden: gone")
        await chats.mark_unreachable(BOT, 8, "Forbidden: not asked for")
        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=9, at_ms=NOW_MS))

        known = await ledger.reach_of([(BOT, "@chess"), (BOT, 7), (BOT, 9), (BOT, 10), (BOT + 1, 7)])

        assert known == {(BOT, "@chess"): (-5, None), (BOT, 7): (None, "Forbidden: gone")}

    async def test_two_ids_that_are_swapped_do_not_point_at_each_other(self, ledger: SqlLedger) -> None:
        await ledger.record([moved(-5, -6)])
        await ledger.record([moved(-6, -5)])

        assert await ledger.aliases() == [(BOT, -6, -5, NOW_MS + 200)]

    async def test_a_message_for_an_alias_is_read_back_for_the_present_id(self, ledger: SqlLedger) -> None:
        await ledger.record([moved("@chess", -5)])
        await ledger.add([message(chat_id="@chess")])

        [back] = await ledger.open_messages(after_id="", limit=1)

        assert back.chat_id == -5

    async def test_a_time_zone_is_stored(self, chats: Chats) -> None:
        await chats.set_time_zone(BOT, CHAT, "Europe/Berlin")

        chat = await chats.get(BOT, CHAT)

        assert chat is not None
        assert chat.time_zone == "Europe/Berlin"


class TestChatsOnSqlite(OnSqlite, ChatsContract):
    pass


class TestChatsOnPostgres(OnPostgres, ChatsContract):
    pass
