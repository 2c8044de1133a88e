"""Handled updates are stored: messages, chats and whether these can be reached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiogram import Router

from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.ledger import Fault, Record
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import texts
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import Direction
from tempogram.storage.updates import Updates
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, talk, update
from tests.fakes import START_MS, Clock


async def test_a_handled_message_and_its_chat_are_stored(database: Database, clock: Clock) -> None:
    async with talk(database, clock) as talking:
        await talking.hears(update("hello", chat_id=GROUP, message_id=77))

        lines = await talking.history.of_chat(BOT_ID, GROUP, before_id=None, limit=10)
        chat = await talking.chats.get(BOT_ID, GROUP)

    assert [(each.direction, each.status, each.telegram_message_id) for each in lines] == [
        (Direction.IN, "received", 77)
    ]
    assert chat is not None
    assert (chat.title, chat.type, chat.last_message_in_at_ms) == ("Chess club", "supergroup", START_MS + 1_000)


async def test_a_private_chat_is_stored_under_the_users_name(database: Database, clock: Clock) -> None:
    async with talk(database, clock) as talking:
        await talking.hears(update("hello"))

        chat = await talking.chats.get(BOT_ID, PRIVATE)

    assert chat is not None
    assert (chat.title, chat.type) == ("Anna A.", "private")


async def test_a_channel_post_is_stored_and_an_edit_or_a_callback_query_is_not(
    database: Database, clock: Clock
) -> None:
    message = update("news", chat_id=GROUP)["message"]
    button = {"id": "1", "from": message["from"], "chat_instance": "x", "data": "y", "message": message}

    async with talk(database, clock) as talking:
        await talking.hears(
            {"update_id": 1001, "channel_post": message},
            {"update_id": 1002, "edited_channel_post": message | {"edit_date": 2}},
            {"update_id": 1003, "callback_query": button},
        )
        lines = await talking.history.of_chat(BOT_ID, GROUP, before_id=None, limit=10)

    assert len(lines) == 1


async def test_an_update_handled_again_after_a_crash_is_stored_once_with_its_own_time(
    database: Database, clock: Clock
) -> None:
    received_at_ms = clock()

    async with talk(database, clock) as talking:
        await Updates(database, process=2).receive(
            BOT_ID, 5, json.dumps(update("hello", update_id=5)).encode(), now_ms=clock()
        )
        clock.advance(60_000)
        for _ in range(2):  # the first process ended before it could mark the update as handled
            await talking.intake.resume()
            await talking.pool.drain()
            async with database.reading() as connection:
                assert (await connection.exec_driver_sql("SELECT count(*) FROM updates")).scalar() == 1
        lines = await talking.history.of_chat(BOT_ID, PRIVATE, before_id=None, limit=10)
        chat = await talking.chats.get(BOT_ID, PRIVATE)

    assert [each.submitted_at_ms for each in lines] == [received_at_ms]
    assert chat is not None
    assert chat.last_message_in_at_ms == received_at_ms


async def test_a_user_who_blocked_the_bot_is_reachable_again_after_writing(database: Database, clock: Clock) -> None:
    blocked = Record(
        message_id="0" * 26,
        bot_id=BOT_ID,
        chat_id=PRIVATE,
        cost=1,
        status=Status.DEAD,
        attempt=1,
        recorded_at_ms=clock(),
        fault=Fault(code=403, reason="Forbidden: bot was blocked by the user"),
        unreachable="Forbidden: bot was blocked by the user",
    )

    async with talk(database, clock) as talking:
        await SqlLedger(database).record([blocked])
        assert await lost_chats(database) == [PRIVATE]
        await talking.hears(update("I am back"))

        assert await lost_chats(database) == []


async def test_the_answer_follows_the_question_in_the_history(database: Database, clock: Clock) -> None:
    """Ids sort by time, and both come from the same ``Ids``."""
    async with talk(database, clock, settings={"echo": {}}) as talking:
        await talking.hears(update("hello"))
        (answer,) = talking.submitted
        (question,) = await talking.history.of_chat(BOT_ID, PRIVATE, before_id=None, limit=10)

    assert question.id < answer.id


async def test_the_writes_of_many_updates_share_transactions(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings={"replies": {}}) as talking:
        before = database.transactions
        await talking.hears(update("hello", chat_id=GROUP))

    assert database.transactions - before == 3  # received; noted in history, chat and texts; handled


async def test_receiving_an_update_waits_for_the_inbox_only(database: Database, clock: Clock) -> None:
    async with talk(database, clock) as talking:
        await talking.intake.receive(BOT_ID, json.dumps(update("hello")).encode())
        before_the_200 = database.transactions
        await talking.pool.drain()

    assert before_the_200 == 1


async def test_no_text_is_stored_for_a_bot_without_replies(database: Database, clock: Clock) -> None:
    async with talk(database, clock, Router(), settings={"echo": {}}) as talking:
        await talking.hears(update("my secret"))

    async with database.reading() as connection:
        assert (await connection.execute(texts.select())).all() == []


async def test_an_update_with_values_too_large_for_a_column_is_handled(database: Database, clock: Clock) -> None:
    odd = {"id": PRIVATE, "type": "private", "first_name": "An\0na"}

    async with talk(database, clock, settings={"echo": {}, "replies": {}}) as talking:
        await talking.hears(update("one", message_id=1 << 70), update("t\0wo", chat=odd))
        left = await Updates(database, process=2).adopt(limit=10)
        chat = await talking.chats.get(BOT_ID, PRIVATE)

    assert left == []
    assert chat is not None
    assert chat.title == "Anna"


def membership(status: str, *, chat_id: int = PRIVATE) -> dict[str, Any]:
    bot = {"id": BOT_ID, "is_bot": True, "first_name": "The bot"}
    member = {"user": bot, "status": status} | ({"until_date": 0} if status == "kicked" else {})
    chat = {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup"}
    return {
        "my_chat_member": {
            "chat": chat,
            "from": {"id": 456, "is_bot": False, "first_name": "Anna"},
            "date": 1,
            "old_chat_member": {"user": bot, "status": "member"},
            "new_chat_member": member,
        }
    }


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("kicked", "Forbidden: bot was kicked from the supergroup chat"),
        ("left", "Forbidden: bot is not a member of the supergroup chat"),
    ],
)
async def test_a_chat_that_removes_the_bot_is_lost_and_regained_when_the_bot_is_back(
    database: Database, clock: Clock, status: str, reason: str
) -> None:
    async with talk(database, clock) as talking:
        await talking.hears({"update_id": 1} | membership(status, chat_id=GROUP))
        lost = talking.reachability.is_unreachable(BOT_ID, GROUP), await SqlLedger(database).unreachable_chats(limit=9)
        await talking.hears({"update_id": 2} | membership("member", chat_id=GROUP))

        assert lost[0]
        assert lost[1] == [(BOT_ID, GROUP, reason)]
        assert not talking.reachability.is_unreachable(BOT_ID, GROUP)
        assert await lost_chats(database) == []


async def test_a_group_lost_by_its_username_is_regained_by_a_message_in_it(database: Database, clock: Clock) -> None:
    message = update("hello", chat_id=GROUP)["message"]
    message["chat"] |= {"username": "ChessClub"}

    async with talk(database, clock) as talking:
        await talking.chats.mark_unreachable(BOT_ID, "@chessclub", "Forbidden: bot was kicked from the supergroup chat")
        await talking.reachability.mark_unreachable(
            BOT_ID, "@chessclub", "Forbidden: bot was kicked from the supergroup chat"
        )
        await talking.hears({"update_id": 1, "message": message})

        assert not talking.reachability.is_unreachable(BOT_ID, "@chessclub")
        assert await SqlLedger(database).unreachable_chats(limit=9) == []


async def test_the_message_that_the_bot_itself_was_removed_does_not_regain_the_group(
    database: Database, clock: Clock
) -> None:
    message = update("", chat_id=GROUP)["message"]
    gone = message | {"left_chat_member": {"id": BOT_ID, "is_bot": True, "first_name": "The bot"}}

    async with talk(database, clock) as talking:
        await talking.hears({"update_id": 1} | membership("kicked", chat_id=GROUP), {"update_id": 2, "message": gone})

        assert talking.reachability.is_unreachable(BOT_ID, GROUP)
        assert await lost_chats(database) == [GROUP]


async def lost_chats(database: Database) -> list[ChatId]:
    return [chat_id for _, chat_id, _ in await SqlLedger(database).unreachable_chats(limit=9)]


async def test_the_language_of_a_private_chat_is_that_of_the_users_app_and_a_group_has_none(
    database: Database, clock: Clock
) -> None:
    german: dict[str, Any] = {"from": {"id": 5, "is_bot": False, "first_name": "Anna", "language_code": "de"}}

    async with talk(database, clock) as talking:
        await talking.hears(update("hello", **german), update("hello", chat_id=GROUP, **german))
        private, group = [await talking.chats.get(BOT_ID, chat_id) for chat_id in (PRIVATE, GROUP)]

    assert private is not None
    assert group is not None
    assert (private.language, group.language) == ("de", None)
