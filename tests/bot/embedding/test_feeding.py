"""What a program's own Dispatcher is fed: calls belong to the update, and returned methods go through the queue."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import EditMessageText, GetChat, SendMessage
from aiogram.types import Message, Update

from tempogram.bot.embedding import engine_task
from tempogram.simulator.limits.faults import Fault
from tests.bot.embedding.own_program import GROUP_ID, GROUP_LIMIT, OwnProgram

LONG_S = 600


def rows(own: OwnProgram, query: str) -> list[Any]:
    """Read the database of a program that has ended."""
    with sqlite3.connect(f"{own.settings['data_dir']}/tempogram.db") as database:
        return database.execute(query).fetchall()


async def test_a_handler_that_runs_twice_for_one_update_sends_nothing_twice(own: OwnProgram) -> None:
    sent = []

    @own.dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        sent.append((await message.answer("awaited")).message_id)
        return message.answer("returned")

    for _ in range(2):  # with another start in between, as after a kill
        async with own.tempogram():
            await own.feed(own.update("hello", update_id=500))
            await own.until_shown("awaited", "returned")

    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert own.shown() == ["awaited", "returned"]


async def test_an_update_of_the_programs_own_making_is_handled_each_time(own: OwnProgram) -> None:
    """Its ``update_id`` is 0, and the same for each."""

    @own.dispatcher.message()
    async def answer(message: Message) -> None:
        await message.answer(f"heard {message.text}")

    async with own.tempogram():
        for text in ("one", "two"):
            await own.feed(own.update(text, update_id=0))

    assert own.shown() == ["heard one", "heard two"]


async def test_a_handler_may_feed_its_own_update_once_more(own: OwnProgram) -> None:
    again = [True]

    @own.dispatcher.message()
    async def answer(message: Message, event_update: Update, dispatcher: Dispatcher) -> None:
        await message.answer("the same words")
        if again.pop():
            again.append(False)
            await dispatcher.feed_update(own.bot, event_update)

    async with own.tempogram():
        await own.feed(own.update("hello"))

    assert own.shown() == ["the same words", "the same words"]


async def test_a_returned_method_is_not_waited_for(own: OwnProgram) -> None:
    @own.dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        return message.answer("late")

    async with own.tempogram(telegram_group_limit_window_s=600):
        await own.fill_group()
        returned = await own.feed(own.update("hello", chat_id=GROUP_ID))

    assert returned is None
    assert len(own.shown(GROUP_ID)) == GROUP_LIMIT
    assert rows(own, "SELECT count(*) FROM messages WHERE status = 'queued'") == [(1,)]


async def test_a_returned_method_that_does_not_pass_the_queue_is_called(own: OwnProgram) -> None:
    @own.dispatcher.message()
    async def answer(message: Message) -> GetChat:
        return GetChat(chat_id=message.chat.id)

    async with own.tempogram():
        assert await own.feed(own.update("hello")) is None

    assert [call["chat_id"] for call in own.telegram.calls("getChat")] == [7]


async def test_a_returned_method_that_is_refused_is_logged_as_aiogram_does(
    own: OwnProgram, caplog: pytest.LogCaptureFixture
) -> None:
    @own.dispatcher.message()
    async def answer(message: Message) -> EditMessageText:
        return EditMessageText(chat_id=7, message_id=-1, text="to a message that there never was")

    with caplog.at_level(logging.ERROR, logger="aiogram.event"):
        async with own.tempogram():
            await own.feed(own.update("hello"))

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Failed to make answer: TelegramBadRequest: ")


async def test_a_handlers_error_reaches_aiogram(own: OwnProgram) -> None:
    @own.dispatcher.message()
    async def fail(_: Message) -> None:
        raise ZeroDivisionError

    async with own.tempogram():
        with pytest.raises(ZeroDivisionError):
            await own.feed(own.update("hello"))


async def test_an_answer_to_a_mention_has_high_priority(own: OwnProgram) -> None:
    @own.dispatcher.message()
    async def answer(message: Message) -> None:
        await message.answer("yes?")

    async with own.tempogram():
        await own.bot.me()  # as polling does
        mention = {"type": "mention", "offset": 0, "length": len("@the_bot")}
        await own.feed(own.update("@the_bot", entities=[mention]))
        await own.feed(own.update("hello"))

    assert rows(own, "SELECT priority FROM messages WHERE direction = 'out' ORDER BY id") == [("high",), ("normal",)]


async def test_the_message_and_its_chat_are_stored_beside_the_handler(own: OwnProgram) -> None:
    async with own.tempogram():
        await own.feed(own.update("hello"))

    assert rows(own, "SELECT chat_id FROM messages WHERE direction = 'in'") == [("7",)]
    assert rows(own, "SELECT chat_id, title FROM chats") == [("7", None)]


async def test_who_blocked_the_bot_is_tried_once_and_gets_answers_again_on_coming_back(own: OwnProgram) -> None:
    @own.dispatcher.message()
    async def answer(message: Message) -> None:
        await message.answer(f"heard {message.text}")

    async with own.polling():
        own.anna.says(own.remote_bot, "hello")
        await own.until_shown("heard hello")
        own.anna.blocks(own.remote_bot)
        for _ in range(3):
            with pytest.raises(TelegramForbiddenError):
                await own.bot.send_message(7, "are you there?")
        tried = [call["code"] for call in own.telegram.calls("sendMessage")].count(403)
        own.anna.unblocks(own.remote_bot)
        own.anna.says(own.remote_bot, "back")
        await own.until_shown("heard hello", "heard back")

    assert tried == 1


async def test_dispatchers_are_fed_as_before_once_the_engine_has_ended(own: OwnProgram) -> None:
    feed = Dispatcher.feed_update

    @own.dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        return message.answer("into the reply to a webhook")

    async with own.tempogram():
        assert Dispatcher.feed_update is not feed

    assert Dispatcher.feed_update is feed
    assert isinstance(await own.feed(own.update("hello")), SendMessage)


async def test_a_handler_in_another_event_loop_stays_there(own: OwnProgram) -> None:
    loops = []

    @own.dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        loops.append(asyncio.get_running_loop())
        await message.answer("awaited")
        return message.answer("returned")

    async with own.tempogram():
        await asyncio.to_thread(asyncio.run, own.feed(own.update("hello")))
        await own.until_shown("awaited", "returned")

    assert loops != [asyncio.get_running_loop()]


async def test_an_event_loop_that_was_closed_while_a_name_was_asked_for_does_not_disturb_the_end(
    own: OwnProgram,
) -> None:
    own.telegram.order(Fault(kind="hang", method="getMe"))

    def other_program() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(own.feed(own.update("hello")))
        loop.close()

    async with own.tempogram():
        await asyncio.to_thread(other_program)

    assert rows(own, "SELECT chat_id FROM messages WHERE direction = 'in'") == [("7",)]


async def test_the_end_waits_for_a_handler_and_not_for_the_task_that_goes_on_after_it(
    own: OwnProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker that feeds one update after the other, or a connection that is kept alive."""
    monkeypatch.setattr(engine_task, "HANDLERS_S", LONG_S)
    begun, may_end = asyncio.Event(), asyncio.Event()

    @own.dispatcher.message()
    async def answer(_: Message) -> None:
        begun.set()
        await may_end.wait()

    async def work() -> None:
        await own.feed(own.update("hello"))
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        async with own.tempogram():
            working = asyncio.create_task(work())
            await begun.wait()
            asyncio.get_running_loop().call_later(0.1, may_end.set)
    working.cancel()
