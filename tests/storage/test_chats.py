from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.model.selection import QuietHours
from tempogram.engine.ports.ledger import Fault, Record
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import ChatActivity, Chats, KnownChat
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message

BLOCKED = Fault(code=403, reason="Forbidden: bot was blocked by the user")


def moved(chat_id: ChatId, to_chat_id: ChatId) -> Record:
    """Return the record of an attempt that taught another id of a chat."""
    return became(message(chat_id=chat_id), Status.QUEUED, migrated_to=to_chat_id)


def sent(chat_id: ChatId, at_ms: int, **changes: Any) -> Record:
    """Return the record of a message that arrived."""
    return became(message(chat_id=chat_id), Status.SENT, telegram_message_id=5, recorded_at_ms=at_ms, **changes)


async def known(chats: Chats, chat_id: ChatId) -> KnownChat:
    chat = await chats.get(BOT, chat_id)
    assert chat is not None
    return chat


async def paged(chats: Chats, *, tag: str | None) -> list[ChatId]:
    """Return the chats of all pages."""
    found: list[ChatId] = []
    while page := await chats.page(BOT, after=str(found[-1]) if found else "", limit=4, tag=tag):
        found += [each.chat_id for each in page]
    return found


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

    async def test_what_is_said_of_a_chat_is_stored_and_what_is_left_out_stays(self, chats: Chats) -> None:
        night = QuietHours(from_minute=22 * 60, until_minute=8 * 60)
        said = ChatFacts(
            chat_id=CHAT,
            time_zone="Europe/Berlin",
            language="de",
            title="Anna",
            opted_out_at_ms=NOW_MS,
            quiet_hours=night,
            tags=("vip", "chess"),
            last_message_in_at_ms=NOW_MS,
        )
        await chats.set_facts(BOT, [said])

        await chats.set_facts(BOT, [ChatFacts(chat_id=CHAT, time_zone="Asia/Tokyo", quiet_hours=None)])
        await chats.set_facts(BOT, [ChatFacts(chat_id=CHAT, last_message_in_at_ms=NOW_MS - 1, opted_out_at_ms=1)])

        chat = await known(chats, CHAT)
        assert (chat.time_zone, chat.language, chat.title, chat.type) == ("Asia/Tokyo", "de", "Anna", "private")
        assert (chat.quiet_hours, chat.tags) == (None, ("chess", "vip"))
        assert (chat.opted_out_at_ms, chat.last_message_in_at_ms) == (NOW_MS, NOW_MS)

    async def test_what_is_said_twice_of_one_chat_at_once_is_merged_and_the_later_counts(self, chats: Chats) -> None:
        first = ChatFacts(chat_id=CHAT, time_zone="Europe/Berlin", language="de", tags=("a",))
        second = ChatFacts(chat_id=CHAT, time_zone="Asia/Tokyo", tags=())

        await chats.set_facts(BOT, [first, second])

        chat = await known(chats, CHAT)
        assert (chat.time_zone, chat.language, chat.tags) == ("Asia/Tokyo", "de", ())

    async def test_what_is_said_of_an_older_id_is_stored_under_the_present_one(
        self, chats: Chats, ledger: SqlLedger
    ) -> None:
        await ledger.record([moved("@chess", -5)])

        await chats.set_facts(BOT, [ChatFacts(chat_id="@chess", language="de", tags=("club",))])

        chat = await known(chats, -5)
        assert (chat.language, chat.tags) == ("de", ("club",))

    async def test_what_is_known_of_a_chat_moves_with_it_where_the_new_id_has_nothing(
        self, chats: Chats, ledger: SqlLedger
    ) -> None:
        night, noon = QuietHours(from_minute=1_320, until_minute=480), QuietHours(from_minute=720, until_minute=780)
        old = ChatFacts(
            chat_id=-5,
            time_zone="Europe/Berlin",
            language="de",
            opted_out_at_ms=7,
            quiet_hours=night,
            tags=("a", "b"),
            last_message_in_at_ms=50,
        )
        new = ChatFacts(chat_id=-1005, language="fr", quiet_hours=noon, tags=("b", "c"))
        await chats.set_facts(BOT, [old, new])

        await ledger.record([moved(-5, -1005)])

        chat = await known(chats, -1005)
        assert (chat.time_zone, chat.language, chat.opted_out_at_ms) == ("Europe/Berlin", "fr", 7)
        assert (chat.quiet_hours, chat.tags, chat.last_message_in_at_ms) == (noon, ("a", "b", "c"), 50)
        assert [each.chat_id for each in await chats.page(BOT, after="", limit=9)] == [-1005]

    async def test_a_language_that_an_update_shows_is_stored_only_while_none_is_known(self, chats: Chats) -> None:
        for language in ("de", "fr"):
            await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=NOW_MS, language=language))

        assert (await known(chats, CHAT)).language == "de"

    async def test_a_sent_message_is_the_last_one_out_of_its_chat(self, chats: Chats, ledger: SqlLedger) -> None:
        for at_ms in (NOW_MS + 9, NOW_MS + 5):
            await ledger.record([sent(CHAT, at_ms)])

        chat = await known(chats, CHAT)
        assert (chat.last_message_out_at_ms, chat.type, chat.reachable) == (NOW_MS + 9, "private", True)

    async def test_the_last_message_out_is_stored_under_the_id_that_its_answer_shows(
        self, chats: Chats, ledger: SqlLedger
    ) -> None:
        await ledger.record([sent("@chess", NOW_MS, migrated_to=-1005)])

        assert (await known(chats, -1005)).last_message_out_at_ms == NOW_MS
        assert (await known(chats, "@chess")).alias_of == -1005

    async def test_what_is_no_message_of_the_bot_in_a_chat_adds_no_chat(self, chats: Chats, ledger: SqlLedger) -> None:
        await ledger.record([became(message(), Status.SENT), became(message(chat_id=8), Status.DEAD, fault=BLOCKED)])

        assert await chats.get(BOT, CHAT) is None
        assert await chats.get(BOT, 8) is None

    async def test_messages_both_ways_and_what_ends_them_meet_in_one_transaction(
        self, chats: Chats, ledger: SqlLedger
    ) -> None:
        lost = became(message(chat_id=8), Status.DEAD, fault=BLOCKED, unreachable=BLOCKED.reason)

        await asyncio.gather(
            ledger.record([sent(CHAT, NOW_MS), lost, sent(9, NOW_MS)]),
            chats.note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=NOW_MS + 1)),
            chats.set_facts(BOT, [ChatFacts(chat_id=9, tags=("a",))]),
        )

        assert [
            (each.chat_id, each.reachable, each.last_message_in_at_ms, each.last_message_out_at_ms, each.tags)
            for each in await chats.page(BOT, after="", limit=9)
        ] == [(7, True, NOW_MS + 1, NOW_MS, ()), (8, False, None, None, ()), (9, True, None, NOW_MS, ("a",))]

    async def test_pages_have_every_chat_once_under_its_present_id(self, chats: Chats, ledger: SqlLedger) -> None:
        await chats.set_facts(BOT, [ChatFacts(chat_id=each, tags=("even",) * (each % 2 == 0)) for each in range(1, 26)])
        await chats.set_facts(BOT + 1, [ChatFacts(chat_id=99, tags=("even",))])
        await chats.mark_unreachable(BOT, conversation(7, "shop"), "Forbidden: gone")
        await ledger.record([moved(25, 26)])

        everyone = await paged(chats, tag=None)
        even = await paged(chats, tag="even")

        assert sorted(everyone) == [*range(1, 25), 26]
        assert sorted(even) == list(range(2, 25, 2))
        assert len(everyone) == len(set(everyone))


class TestChatsOnSqlite(OnSqlite, ChatsContract):
    pass


class TestChatsOnPostgres(OnPostgres, ChatsContract):
    pass
