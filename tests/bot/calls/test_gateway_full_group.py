"""Ordinary handlers in a group that has no place left do what they would do anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiogram.types import CallbackQuery, Chat, Message, User

from tempogram.engine.limits.limits import Limit
from tests.bot.full_group import GROUP, FullGroup, full_group
from tests.engine.desk import UNLIMITED, turns
from tests.fakes import START_MS

PEOPLE = 14
TWO_A_SECOND = replace(UNLIMITED, bot=Limit(2, 1_000))


def pressed(group: FullGroup, message: Message, number: int) -> CallbackQuery:
    person = User(id=number, is_bot=False, first_name="Ada")
    return CallbackQuery(id=str(number), from_user=person, chat_instance="1", message=message).as_(group.bot)


async def on_press(query: CallbackQuery) -> None:
    assert isinstance(query.message, Message)
    await query.message.edit_text(f"pressed by {query.from_user.id}")
    await query.answer()
    await query.message.answer(f"thanks, {query.from_user.id}")


async def test_14_people_who_press_at_once_get_all_that_their_handlers_say() -> None:
    async with full_group(limits=TWO_A_SECOND) as group:
        chats = [Chat(id=100 + number, type="private") for number in range(PEOPLE)]
        menus = await group.end(*(group.bot.send_message(chat.id, "menu") for chat in chats))

        await group.end(*(on_press(pressed(group, menu, number)) for number, menu in enumerate(menus)))

        said = [group.chats.texts(chat.id) for chat in chats]
        assert said == [[f"pressed by {number}", f"thanks, {number}"] for number in range(PEOPLE)]
        assert group.direct.called == ["answerCallbackQuery"] * PEOPLE


async def test_an_answer_that_is_edited_when_it_is_ready_ends_as_the_answer() -> None:
    async def think() -> None:
        message = await group.bot.send_message(GROUP, "thinking")
        await message.edit_text("the answer")

    async with full_group() as group:
        await group.end(think())

        assert group.chats.texts(GROUP) == ["the last place", "the answer"]


async def test_a_loop_over_more_messages_than_a_group_takes_gets_the_id_of_each() -> None:
    async def loop() -> list[int]:
        return [(await group.bot.send_message(GROUP, str(number))).message_id for number in range(90)]

    async with full_group() as group:
        (ids,) = await group.end(loop(), step_ms=30_000)

        assert ids == list(group.chats.messages[GROUP])[1:]
        assert len(set(ids)) == 90


async def test_a_progress_bar_waits_for_no_edit_that_a_newer_one_replaces() -> None:
    """All but the last have returned before the group has a place, so it takes as long as under plain aiogram."""
    async with full_group() as group:
        (bar,) = await group.end(group.bot.send_message(GROUP, "0 %"))
        started_ms, edits = group.desk.clock(), []
        for percent in range(5, 105, 5):
            edits.append(asyncio.ensure_future(bar.edit_text(f"{percent} %")))
            await turns()
            group.desk.clock.advance(100)

        assert [edit.done() for edit in edits] == [True] * 19 + [False]
        assert group.desk.clock() - started_ms == 2_000
        returned = [edit.result() for edit in edits[:-1]]
        assert [each.message_id for each in returned if isinstance(each, Message)] == [bar.message_id] * 19
        await group.end(edits[-1])
        assert group.chats.texts(GROUP)[-1] == "100 %"


async def test_a_handler_that_awaits_each_edit_of_a_progress_bar_waits_for_its_places() -> None:
    async def progress() -> None:
        for percent in range(5, 105, 5):
            await bar.edit_text(f"{percent} %")

    async with full_group() as group:
        (bar,) = await group.end(group.bot.send_message(GROUP, "0 %"))
        started_ms = group.desk.clock()
        await group.end(progress())

        assert group.desk.clock() - started_ms >= 20 * 60_000 - 1_000
        assert group.chats.texts(GROUP)[-1] == "100 %"


async def test_a_message_counts_as_sent_only_when_it_is() -> None:
    async with full_group() as group:
        sending = asyncio.create_task(group.bot.send_message(GROUP, "hello"))
        await turns()
        waits = not sending.done()

        (sent,) = await group.end(sending)

        assert waits
        assert sent.date.timestamp() == START_MS // 1_000
        assert group.chats.texts(GROUP)[-1] == "hello"
