"""What works with the handle of a message that waits: a chat ends as if it had never been full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest
from aiogram.methods import EditMessageText, GetGameHighScores
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyParameters,
)

from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.methods import QUEUED
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.messages import PARKED_MS, Lease, Priority, Status
from tempogram.engine.model.outcomes import Rejected, Uncertain
from tempogram.engine.sending.outcome_policy import UNREADY_MS
from tests.bot.full_group import GROUP, TWO_A_MINUTE, FullGroup, full_group
from tests.bot.gateways import references_of
from tests.engine.desk import turns
from tests.fakes import outgoing

OTHER = -1006
KEYBOARD = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="ok", callback_data="ok")]])
REPLY_KEYBOARD = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="ok")]])
FULL = "the last place"


@pytest.fixture
async def group() -> AsyncIterator[FullGroup]:
    """A full group, whose callers wait for no place."""
    async with full_group(wait_s=0) as group:
        yield group


@pytest.fixture
async def wide_group() -> AsyncIterator[FullGroup]:
    """A full group with room for an album of two."""
    async with full_group(wait_s=0, limits=TWO_A_MINUTE) as group:
        yield group


async def waiting(group: FullGroup, text: str = "hello", **more: Any) -> Message:
    """Send a message that waits, and return its handle."""
    message = await group.bot.send_message(GROUP, text, **more)
    assert message.message_id < 0
    return message


async def all_sent(group: FullGroup) -> None:
    """Let time pass until nothing waits."""
    for _ in range(1_000):
        await turns()
        await group.work()
        if not await group.desk.ledger.open_ids(after_id="", limit=1):
            return
        group.desk.clock.advance(1_000)
    raise AssertionError("something waits for ever")


async def next_lease(group: FullGroup) -> Lease:
    """Let time pass until a message may go, and lease it."""
    while not (leases := await group.desk.leases(1)):
        group.desk.clock.advance(1_000)
    return leases[0]


def open_methods(group: FullGroup) -> list[str]:
    ledger = group.desk.ledger
    return [each.method for each in ledger.messages.values() if ledger.statuses[each.id] is Status.QUEUED]


async def test_handles_of_a_bot_are_counted_down_from_minus_1(group: FullGroup) -> None:
    messages = [await waiting(group) for _ in range(3)]

    assert [each.message_id for each in messages] == [-1, -2, -3]


async def test_a_handle_says_what_its_message_says(group: FullGroup) -> None:
    message = await waiting(group, "hello", reply_markup=KEYBOARD, message_thread_id=5)

    assert (message.chat.id, message.text, message.reply_markup) == (GROUP, "hello", KEYBOARD)
    assert (message.message_thread_id, message.is_topic_message, message.bot) == (5, True, group.bot)


async def test_an_album_has_as_many_handles_as_items(wide_group: FullGroup) -> None:
    group = wide_group
    media: list[Any] = [InputMediaPhoto(media="a"), InputMediaPhoto(media="b", caption="second")]
    album = await group.bot.send_media_group(GROUP, media)
    second = await group.bot.edit_message_caption(chat_id=GROUP, message_id=album[1].message_id, caption="changed")

    await all_sent(group)

    assert [each.message_id for each in album] == [-1, -2]
    assert isinstance(second, Message)
    assert [each.caption for each in group.chats.shown(GROUP)[2:]] == [None, "changed"]


async def test_deleting_what_waits_cancels_it(group: FullGroup) -> None:
    message = await waiting(group)

    assert await message.delete() is True

    assert open_methods(group) == []
    await all_sent(group)
    assert group.chats.texts(GROUP) == [FULL]


async def test_deleting_twice_what_waited_is_true_again(group: FullGroup) -> None:
    message = await waiting(group)

    assert [await message.delete(), await message.delete()] == [True, True]


async def test_deleting_one_item_of_an_album_leaves_the_others(wide_group: FullGroup) -> None:
    group = wide_group
    album = await group.bot.send_media_group(GROUP, [InputMediaPhoto(media=each) for each in "ab"])
    deleting = asyncio.ensure_future(album[0].delete())
    await turns()

    await all_sent(group)

    assert await deleting is True
    assert [each.media for each in group.chats.shown(GROUP)[2:]] == ["b"]


async def test_deleting_several_cancels_what_waits_and_deletes_the_others(group: FullGroup) -> None:
    sent = next(iter(group.chats.messages[GROUP]))
    handles = [(await waiting(group)).message_id for _ in range(2)]
    deleting = asyncio.ensure_future(group.bot.delete_messages(GROUP, [sent, *handles]))
    await turns()

    await all_sent(group)

    assert await deleting is True
    assert group.chats.shown(GROUP) == []
    assert open_methods(group) == []


async def test_deleting_what_is_just_being_sent_deletes_it_afterwards(group: FullGroup) -> None:
    message = await waiting(group)
    lease = await next_lease(group)
    deleting = asyncio.ensure_future(message.delete())
    await turns()
    waits = not deleting.done()

    await group.desk.send(lease)
    await all_sent(group)

    assert waits
    assert await deleting is True
    assert group.chats.texts(GROUP) == [FULL]


async def in_doubt(group: FullGroup) -> Message:
    """Send a message that waits for its second call, as the first was not answered."""
    message = await waiting(group)
    group.desk.transport.answers(Uncertain("ServerDisconnectedError"))
    await group.desk.send(await next_lease(group))
    return message


def methods_called(group: FullGroup) -> list[str]:
    return [lease.message.method for lease in group.desk.transport.leases][1:]


async def test_deleting_what_may_have_arrived_does_not_cancel_it(group: FullGroup) -> None:
    message = await in_doubt(group)
    deleting = asyncio.ensure_future(message.delete())
    await turns()
    waits = not deleting.done()

    await all_sent(group)

    assert waits
    assert await deleting is True
    assert methods_called(group) == ["sendMessage", "sendMessage", "deleteMessage"]
    assert Status.CANCELLED not in group.desk.ledger.statuses.values()


async def test_an_edit_of_what_may_have_arrived_goes_behind_it(group: FullGroup) -> None:
    message = await in_doubt(group)

    await message.edit_text("new")
    await all_sent(group)

    assert methods_called(group) == ["sendMessage", "sendMessage", "editMessageText"]
    assert group.chats.texts(GROUP) == [FULL, "new"]


async def test_a_message_that_its_handler_took_back_has_its_handle_when_that_runs_again(group: FullGroup) -> None:
    for _ in range(2):
        with update_context.of(UpdateContext(group.bot.id, 11, Priority.HIGH)):
            message = await group.bot.send_message(GROUP, "hello")
            assert message.message_id == -1
            assert await message.delete() is True

    assert open_methods(group) == []


async def test_an_edit_changes_the_text_that_waits(group: FullGroup) -> None:
    message = await waiting(group, "thinking", parse_mode="HTML")

    edited = await message.edit_text("the answer", reply_markup=KEYBOARD)

    assert isinstance(edited, Message)
    assert (edited.message_id, edited.text) == (message.message_id, "the answer")
    assert open_methods(group) == ["sendMessage"]
    await all_sent(group)
    shown = group.chats.shown(GROUP)[-1]
    assert (shown.text, shown.markup["inline_keyboard"][0][0]["text"]) == ("the answer", "ok")


async def test_an_edit_without_a_keyboard_takes_it_away(group: FullGroup) -> None:
    message = await waiting(group, reply_markup=KEYBOARD)

    await message.edit_text("bare")
    await all_sent(group)

    assert group.chats.shown(GROUP)[-1].markup is None


async def test_an_edit_of_a_keyboard_leaves_the_text(group: FullGroup) -> None:
    message = await waiting(group)

    await message.edit_reply_markup(reply_markup=KEYBOARD)
    await all_sent(group)

    shown = group.chats.shown(GROUP)[-1]
    assert (shown.text, shown.markup is None) == ("hello", False)
    assert len(group.desk.transport.leases) == 2


async def test_an_edit_changes_the_caption_that_waits(group: FullGroup) -> None:
    photo = await group.bot.send_photo(GROUP, "file-id", caption="soon")

    await photo.edit_caption(caption="now")
    await all_sent(group)

    shown = group.chats.shown(GROUP)[-1]
    assert (shown.media, shown.caption) == ("file-id", "now")
    assert len(group.desk.transport.leases) == 2


async def test_an_edit_of_another_kind_goes_behind_its_message(group: FullGroup) -> None:
    message = await waiting(group, reply_markup=REPLY_KEYBOARD)

    edited = await message.edit_text("new")
    await all_sent(group)

    assert isinstance(edited, Message)
    assert edited.message_id == message.message_id
    assert group.chats.texts(GROUP) == [FULL, "new"]
    assert [lease.message.method for lease in group.desk.transport.leases][1:] == ["sendMessage", "editMessageText"]


async def test_an_edit_of_what_is_just_being_sent_goes_behind_it(group: FullGroup) -> None:
    message = await waiting(group)
    lease = await next_lease(group)

    await message.edit_text("new")
    await group.desk.send(lease)
    await all_sent(group)

    assert group.chats.texts(GROUP) == [FULL, "new"]


async def test_an_awaited_edit_of_what_waits_returns_when_that_is_sent() -> None:
    async with full_group() as group:
        sending = asyncio.create_task(group.bot.send_message(GROUP, "thinking"))
        await turns()
        (message_id,) = await group.desk.ledger.open_ids(after_id="", limit=1)
        (number,) = await group.handles.hand_out(group.bot.id, message_id, 1)
        editing = asyncio.ensure_future(group.bot.edit_message_text("done", chat_id=GROUP, message_id=number))
        await turns()
        waits = not editing.done()

        sent, edited = await group.end(sending, editing)

        assert waits
        assert isinstance(edited, Message)
        assert (edited.text, edited.message_id) == ("done", sent.message_id)


async def test_a_reply_goes_behind_the_message_that_it_quotes(group: FullGroup) -> None:
    first = await waiting(group, "first", message_effect_id="1")
    await first.reply("second")

    await all_sent(group)

    assert [(each.text, each.reply_to) for each in group.chats.shown(GROUP)[1:]] == [("first", None), ("second", "1")]


async def test_a_pin_waits_outside_of_the_lane_and_holds_up_nothing(group: FullGroup) -> None:
    message = await waiting(group)
    pinning = asyncio.ensure_future(message.pin())
    await turns()
    later = await waiting(group, "later")
    (parked,) = [each for each in group.desk.ledger.messages.values() if each.method == "pinChatMessage"]

    await all_sent(group)

    assert later.message_id == -2
    assert parked.ready_at_ms == PARKED_MS
    assert await pinning is True
    assert [each.is_pinned for each in group.chats.shown(GROUP)] == [False, True, False]


async def test_a_copy_to_another_chat_has_the_content_that_its_message_had_then(group: FullGroup) -> None:
    message = await waiting(group, "one")
    copy = await message.copy_to(OTHER)
    await message.edit_text("two")

    await all_sent(group)

    assert copy.message_id == -2
    assert group.chats.texts(OTHER) == ["one"]
    assert group.chats.texts(GROUP) == [FULL, "two"]


async def test_a_copy_that_waits_for_a_place_in_another_chat_keeps_the_content_that_its_message_had_then(
    wide_group: FullGroup,
) -> None:
    message = await waiting(wide_group, "one")
    await message.copy_to(OTHER)
    wide_group.desk.clock.advance(59_000)
    for text in ("b", "c", "d", "e"):
        await wide_group.bot.send_message(OTHER, text)
    for _ in range(3):
        await turns()
        await wide_group.work()
        wide_group.desk.clock.advance(1_000)

    await message.edit_text("two")
    await all_sent(wide_group)

    assert set(wide_group.chats.texts(OTHER)) == {"b", "c", "d", "e", "one"}
    assert wide_group.chats.texts(GROUP)[-1] == "two"


async def test_what_waits_for_a_message_of_another_chat_holds_up_no_message_there(group: FullGroup) -> None:
    message = await waiting(group, "one")
    await message.forward(OTHER)
    before = await group.bot.send_message(OTHER, "at once")

    await all_sent(group)

    assert before.message_id > 0
    assert group.chats.texts(OTHER) == ["at once", "one"]


async def test_a_call_of_a_time_at_which_its_message_still_waits_holds_up_nothing_and_goes_behind_it(
    group: FullGroup,
) -> None:
    message = await waiting(group)
    copy = outgoing(
        "~",
        bot_id=group.bot.id,
        chat_id=OTHER,
        method="copyMessage",
        params=msgspec.json.encode({"from_chat_id": GROUP, "message_id": message.message_id}),
        ready_at_ms=group.desk.clock() + 5_000,
    )
    dispatcher = group.desk.new_dispatcher(references=references_of(group.desk, group.handles))
    await dispatcher.submit([copy])
    group.desk.clock.advance(10_000)
    await group.work()

    await group.bot.send_message(OTHER, "later")
    group.desk.clock.advance(UNREADY_MS)
    await group.work()
    before = group.chats.texts(OTHER)
    await all_sent(group)

    assert before == ["later"]
    assert group.chats.texts(OTHER) == ["later", "hello"]


async def test_a_deleted_message_is_copied_before_it_is_deleted(group: FullGroup) -> None:
    message = await waiting(group, "one")
    await message.copy_to(OTHER)
    deleting = asyncio.ensure_future(message.delete())
    await turns()

    await all_sent(group)

    assert await deleting is True
    assert group.chats.texts(OTHER) == ["one"]
    assert group.chats.texts(GROUP) == [FULL]


async def test_a_live_location_that_waits_can_be_stopped(group: FullGroup) -> None:
    location = await group.bot.send_location(GROUP, 1.0, 2.0, live_period=600)

    await location.stop_live_location()
    await all_sent(group)

    assert not group.chats.shown(GROUP)[-1].is_live


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "once it has ended"])
async def test_what_refers_to_a_message_that_was_refused_is_refused_with_its_reason(
    group: FullGroup, *, waits: bool
) -> None:
    message = await waiting(group)
    reason = "Bad Request: not enough rights"
    group.desk.transport.answers(Rejected(400, reason))
    if not waits:
        await all_sent(group)
    replying: asyncio.Future[Any] = asyncio.ensure_future(message.reply("a reply"))
    pinning: asyncio.Future[Any] = asyncio.ensure_future(message.pin())
    await turns()
    await all_sent(group)

    with pytest.raises(TelegramBadRequest, match=reason):
        await pinning
    if not waits:
        with pytest.raises(TelegramBadRequest, match=reason):
            await replying
    assert group.chats.texts(GROUP) == [FULL]
    replies = [each.id for each in group.desk.ledger.messages.values() if b"a reply" in each.params]
    assert [(await group.desk.ledger.standings([each]))[0].fault.reason for each in replies] == [reason] * waits  # type: ignore[union-attr]


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "once it has ended"])
async def test_a_reply_that_allows_it_goes_without_what_was_refused(group: FullGroup, *, waits: bool) -> None:
    message = await waiting(group)
    group.desk.transport.answers(Rejected(400, "Bad Request: not enough rights"))
    quote = ReplyParameters(message_id=message.message_id, allow_sending_without_reply=True)
    if not waits:
        await all_sent(group)

    await group.bot.send_message(GROUP, "a reply", reply_parameters=quote)
    await all_sent(group)

    assert group.chats.texts(GROUP) == [FULL, "a reply"]


@pytest.mark.parametrize("method", ["delete", "pin", "edit_text", "reply", "forward"])
async def test_a_negative_number_that_stands_for_none_is_refused_at_once(group: FullGroup, method: str) -> None:
    message = (await waiting(group)).model_copy(update={"message_id": -77})
    more: dict[str, Any] = {"edit_text": {"text": "b"}, "reply": {"text": "b"}, "forward": {"chat_id": 7}}

    with pytest.raises(TelegramBadRequest, match=r"message -77 is not known: a negative number stands for a message"):
        await getattr(message, method)(**more.get(method, {}))

    assert open_methods(group) == ["sendMessage"]


async def test_a_returned_call_with_a_handle_that_stands_for_none_raises_aiograms_own_exception(
    group: FullGroup,
) -> None:
    """So the calls that a handler returned after it are made."""
    edit = EditMessageText(chat_id=GROUP, message_id=-5, text="x")

    with pytest.raises(TelegramBadRequest, match="-5"):
        await group.gateway.submit(group.bot, edit, QUEUED["editMessageText"])


async def test_a_handle_in_another_chat_than_its_messages_is_refused(group: FullGroup) -> None:
    message = await waiting(group)

    for call in (group.bot.pin_chat_message, group.bot.delete_message):
        with pytest.raises(TelegramBadRequest, match=f"message -1 is in chat {GROUP}, and not in {OTHER}"):
            await call(OTHER, message.message_id)


async def test_a_handle_of_another_bot_is_none(group: FullGroup) -> None:
    message = await waiting(group)

    assert await group.handles.targets(43, [message.message_id]) == {}


async def test_a_handle_works_once_its_message_is_sent(group: FullGroup) -> None:
    message = await waiting(group)
    await all_sent(group)
    group.desk.clock.advance(61_000)

    edited = await message.edit_text("new")

    assert isinstance(edited, Message)
    assert edited.message_id > 0
    assert group.chats.texts(GROUP) == [FULL, "new"]


async def test_a_handle_that_was_stored_works_after_a_restart(group: FullGroup) -> None:
    message = await waiting(group, "one")
    await message.copy_to(OTHER)
    pinning = asyncio.ensure_future(message.pin())
    await turns()
    pinning.cancel()

    await group.desk.restart()
    await group.bot.edit_message_text("two", chat_id=GROUP, message_id=message.message_id)
    await all_sent(group)

    assert [(each.text, each.is_pinned) for each in group.chats.shown(GROUP)[1:]] == [("two", True)]
    assert group.chats.texts(OTHER) == ["one"]


async def test_a_call_that_does_not_pass_the_queue_waits_until_its_message_is_sent(group: FullGroup) -> None:
    game = await waiting(group)
    asking = asyncio.ensure_future(group.bot(GetGameHighScores(user_id=1, chat_id=GROUP, message_id=game.message_id)))
    await turns()
    waits = not asking.done()

    await all_sent(group)
    await asking

    assert waits
    assert [getattr(each, "message_id", None) for each in group.direct.methods] == [
        list(group.chats.messages[GROUP])[1]
    ]


async def test_the_placeholder_of_a_public_chat_can_be_edited_though_its_number_is_not_known(group: FullGroup) -> None:
    await group.desk.broker.pause(group.bot.id, paused=True)
    message = await group.bot.send_message("@news", "one")

    await message.edit_text("two")
    await group.desk.broker.pause(group.bot.id, paused=False)
    await all_sent(group)

    assert (message.chat.id, message.chat.username) == (0, "news")
    assert group.chats.texts("@news") == ["two"]


async def test_a_parked_call_can_be_cancelled(group: FullGroup) -> None:
    message = await waiting(group, "one")
    copy = await message.copy_to(OTHER)

    assert await group.bot.delete_message(OTHER, copy.message_id) is True
    await all_sent(group)

    assert group.chats.shown(OTHER) == []
    assert group.chats.texts(GROUP) == [FULL, "one"]


async def test_an_answer_that_its_handler_repeats_is_refused_as_before() -> None:
    """No call is refused as a bare error of the engine."""
    async with full_group(wait_s=0) as group:
        with pytest.raises(TelegramAPIError):
            await group.bot.unpin_chat_message(GROUP, message_id=-5)


async def test_edits_of_a_handle_whose_message_is_sent_replace_one_another(group: FullGroup) -> None:
    bar = await waiting(group, "0 %")
    await all_sent(group)

    for percent in range(10, 110, 10):
        await bar.edit_text(f"{percent} %")
    await all_sent(group)

    assert group.chats.texts(GROUP) == [FULL, "100 %"]
    assert len(group.desk.transport.leases) == 3
