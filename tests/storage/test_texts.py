from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.database.database import Database
from tempogram.storage.texts import CHARACTERS_MAX, TEXTS_OF_CHAT_MAX, ChatText, Texts
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite

DAY_MS = 86_400_000


def spoken(update_id: int, text: str = "hello", *, by_bot: bool = False) -> ChatText:
    return ChatText(
        bot_id=BOT,
        update_id=update_id,
        by_bot=by_bot,
        chat_id=CHAT,
        speaker="" if by_bot else "Anna",
        text=text,
        said_at_ms=NOW_MS + update_id,
    )


class TextsContract:
    @pytest.fixture
    def texts(self, database: Database) -> Texts:
        return Texts(database, keep_ms=DAY_MS)

    @staticmethod
    async def recent(texts: Texts, *, since_ms: int = 0, limit: int = 100) -> list[str]:
        return [each.text for each in await texts.recent(BOT, CHAT, since_ms=since_ms, limit=limit)]

    async def test_the_texts_of_a_chat_are_returned_oldest_first_in_both_directions(self, texts: Texts) -> None:
        question, answer = spoken(1, "how much?"), replace(spoken(1, "seven", by_bot=True), said_at_ms=NOW_MS + 1)

        await texts.note(question)
        await texts.note(answer)
        await texts.note(spoken(2, "thanks"))

        assert await texts.recent(BOT, CHAT, since_ms=0, limit=2) == [answer, spoken(2, "thanks")]
        assert await self.recent(texts) == ["how much?", "seven", "thanks"]
        assert await texts.recent(BOT + 1, CHAT, since_ms=0, limit=2) == []

    async def test_a_text_that_is_stored_again_stays_as_it_was(self, texts: Texts) -> None:
        await texts.note(spoken(1, "seven", by_bot=True))

        await texts.note(spoken(1, "eight", by_bot=True))

        assert await texts.answer_to(BOT, 1) == "seven"
        assert await texts.answer_to(BOT, 2) is None

    async def test_only_the_last_texts_of_a_chat_are_kept_and_long_ones_are_cut(self, texts: Texts) -> None:
        for number in range(TEXTS_OF_CHAT_MAX + 5):
            await texts.note(spoken(number, f"{number}" + "." * CHARACTERS_MAX))

        kept = await self.recent(texts)

        assert len(kept) == TEXTS_OF_CHAT_MAX
        assert kept[0].startswith("5.")
        assert {len(text) for text in kept} == {CHARACTERS_MAX}

    async def test_a_text_is_deleted_after_its_time(self, texts: Texts) -> None:
        await texts.note(spoken(1, "old"))
        await texts.note(replace(spoken(2, "elsewhere"), chat_id=CHAT + 1, said_at_ms=NOW_MS + 2 * DAY_MS))

        assert await self.recent(texts) == []

    async def test_a_text_that_is_too_old_is_not_returned_though_it_is_stored(self, texts: Texts) -> None:
        await texts.note(spoken(1, "old"))

        assert await self.recent(texts, since_ms=NOW_MS + 2) == []

    async def test_the_last_message_of_a_chat_never_moves_back_in_time(self, database: Database) -> None:
        """An update that stayed unhandled over a crash is handled after newer ones."""
        chats = Chats(database)
        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=NOW_MS))

        await chats.note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=NOW_MS - 5))

        chat = await chats.get(BOT, CHAT)
        assert chat is not None
        assert chat.last_message_in_at_ms == NOW_MS


class TestTextsOnSqlite(OnSqlite, TextsContract):
    pass


class TestTextsOnPostgres(OnPostgres, TextsContract):
    pass
