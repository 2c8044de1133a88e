"""What the engine does, in ten tests. Read them from top to bottom.

A ``Desk`` is the engine of one process: a real dispatcher, a real queue, real deliveries. Only its surroundings are
stand-ins: ``desk.transport`` answers as the test says instead of Telegram, ``desk.ledger`` keeps everything in memory,
and time passes when a test advances ``desk.clock``. ``outgoing`` makes a message; a negative chat is a group.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Chat, Message
from msgspec import structs

from tempogram.bot.behaviours.echo import echo
from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import Guarantee, Priority, Status
from tempogram.engine.model.outcomes import Throttled, Uncertain
from tempogram.engine.ports import Accepted, Known
from tempogram.simulator.sync_client import Remote
from tests.engine.desk import UNLIMITED, Desk
from tests.fakes import outgoing

GROUP = -1005


async def test_1_a_submitted_message_is_sent_and_its_end_is_in_the_ledger() -> None:
    desk = Desk()

    answers = await desk.dispatcher.submit([outgoing("hello")])
    await desk.work()

    assert answers == [Accepted()]
    assert desk.sent == ["hello"]
    assert desk.ledger.statuses == {"hello": Status.SENT}


async def test_2_a_message_to_a_full_group_waits_until_the_oldest_one_is_over_a_minute_old() -> None:
    desk = Desk(limits=replace(UNLIMITED, group=Limit(2, 60_000)))
    await desk.dispatcher.submit([outgoing(each, chat_id=GROUP) for each in ("a", "b", "c")])

    await desk.work()
    assert desk.sent == ["a", "b"]

    desk.clock.advance(60_000)
    await desk.work()
    assert desk.sent == ["a", "b"]

    desk.clock.advance(1)
    await desk.work()
    assert desk.sent == ["a", "b", "c"]


async def test_3_a_reply_overtakes_a_backlog_of_bulk_messages() -> None:
    desk = Desk(limits=replace(UNLIMITED, bot=Limit(30, 1_000)))
    bulk = [outgoing(f"bulk {number:03}", chat_id=number, priority=Priority.LOW) for number in range(1, 101)]
    await desk.dispatcher.submit(bulk)
    await desk.work()  # bulk leaves spaced over the second, so that there is room for what is urgent

    await desk.dispatcher.submit([outgoing("reply", chat_id=500, priority=Priority.HIGH)])
    await desk.work()

    assert desk.sent == ["bulk 001", "bulk 002", "reply"]


async def test_4_a_429_holds_only_the_chat_that_it_was_for() -> None:
    desk = Desk()
    desk.transport.answers(Throttled(retry_after_ms=7_000))
    await desk.dispatcher.submit([outgoing("a", chat_id=7), outgoing("b", chat_id=8)])
    await desk.work()
    assert desk.sent == ["a", "b"]  # Telegram refused the first

    desk.clock.advance(6_999)
    await desk.work()
    assert desk.sent == ["a", "b"]

    desk.clock.advance(1)
    await desk.work()
    assert desk.sent == ["a", "b", "a"]


async def test_5_a_message_whose_answer_was_lost_is_sent_again_unless_it_may_be_sent_at_most_once() -> None:
    desk = Desk()
    desk.transport.answers(Uncertain("the connection broke"), Uncertain("the connection broke"))
    once = structs.replace(outgoing("once", chat_id=8), guarantee=Guarantee.AT_MOST_ONCE)
    await desk.dispatcher.submit([outgoing("at least once", chat_id=7), once])
    await desk.work()

    desk.clock.advance(60_000)
    await desk.work()

    assert desk.sent == ["at least once", "once", "at least once"]
    assert desk.ledger.statuses == {"at least once": Status.SENT, "once": Status.UNCERTAIN}


async def test_6_a_crash_loses_no_message_that_was_accepted() -> None:
    desk = Desk(limits=replace(UNLIMITED, group=Limit(1, 60_000)))
    await desk.dispatcher.submit([outgoing("a", chat_id=GROUP), outgoing("b", chat_id=GROUP)])
    await desk.work()

    await desk.restart()  # the queue was in memory, and is gone; the ledger has all of it

    desk.clock.advance(60_000)
    await desk.work()
    assert desk.sent == ["a"]  # what may have been on its way at the crash takes a place, too
    desk.clock.advance(60_000)
    await desk.work()
    assert desk.sent == ["a", "b"]


async def test_7_the_same_dedup_key_is_accepted_once() -> None:
    desk = Desk()
    first, second = (structs.replace(outgoing(each), dedup_key="order 17") for each in ("a", "b"))

    answers = await desk.dispatcher.submit([first, second])
    await desk.work()

    assert answers == [Accepted(), Known("a", Status.QUEUED)]
    assert desk.sent == ["a"]


async def test_8_an_edit_replaces_an_older_edit_of_the_same_message_that_still_waits() -> None:
    desk = Desk()
    older, newer = (outgoing(each, method="editMessageText", replaces="edit:9") for each in ("50 %", "51 %"))
    await desk.dispatcher.submit([older])

    await desk.dispatcher.submit([newer])
    await desk.work()

    assert desk.sent == ["51 %"]
    assert desk.ledger.statuses == {"50 %": Status.CANCELLED, "51 %": Status.SENT}


async def test_9_a_behaviour_is_tested_by_calling_it() -> None:
    private = Chat(id=7, type="private")
    heard = Message(message_id=1, date=datetime(2026, 1, 1, tzinfo=UTC), chat=private, text="hello")

    method = await echo(heard)

    assert (method.chat_id, method.text) == (7, "hello")


async def test_10_the_simulated_telegram_is_a_fixture_for_any_bot_and_any_client(telegram: Remote) -> None:
    mine, anna = telegram.add_bot(), telegram.add_user("Anna")
    anna.says(mine, "hello")

    async with AiohttpSession(api=TelegramAPIServer.from_base(telegram.url)) as session:
        bot = Bot(mine.token, session=session)
        (update,) = await bot.get_updates()
        assert update.message is not None
        await bot.send_message(update.message.chat.id, "hello, Anna")

    assert [message["text"] for message in telegram.messages(anna.user_id)] == ["hello", "hello, Anna"]
