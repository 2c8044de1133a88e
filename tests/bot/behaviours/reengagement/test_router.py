from __future__ import annotations

import pytest
from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message
from msgspec import structs

from tempogram.bot.behaviours.preferences import TEMPLATES
from tempogram.engine.model.messages import Status
from tempogram.storage.chats import Chats, KnownChat
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, talk, update
from tests.fakes import Clock, outgoing

SETTINGS = {"reengagement": {}, "commands": {"start": "Welcome!"}}


async def chat_of(chats: Chats, chat_id: int = PRIVATE) -> KnownChat:
    chat = await chats.get(BOT_ID, chat_id)
    assert chat is not None
    return chat


async def test_a_user_opts_out_by_a_command_and_is_answered_plainly(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/stop"))

        assert talking.said == [TEMPLATES["stop"]]
        assert (await chat_of(talking.chats)).opted_out_at_ms == clock()


async def test_start_opts_in_again_and_leaves_the_answer_to_others(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings={"reengagement": {}, "echo": {}}) as talking:
        await talking.hears(update("/stop"), update("/start"))

        assert talking.said == [TEMPLATES["stop"], "/start"]
        assert (await chat_of(talking.chats)).opted_out_at_ms is None


async def test_a_group_does_not_opt_out_by_the_command_of_one_member(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/stop", chat_id=GROUP))

        assert talking.said == []
        assert (await chat_of(talking.chats, GROUP)).opted_out_at_ms is None


async def test_start_opts_in_again_where_commands_have_an_answer_to_it(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/stop"), update("/start"))

        assert talking.said == [TEMPLATES["stop"], "Welcome!"]
        assert (await chat_of(talking.chats)).opted_out_at_ms is None


async def test_a_user_opts_out_where_commands_have_an_answer_to_it(database: Database, clock: Clock) -> None:
    settings = {"reengagement": {}, "commands": {"stop": "Bye!"}}
    async with talk(database, clock, settings=settings) as talking:
        await talking.hears(update("/stop"))

        assert talking.said == ["Bye!"]
        assert (await chat_of(talking.chats)).opted_out_at_ms == clock()


async def test_a_module_of_ones_own_answers_its_commands_and_the_user_opts_out_and_in(
    database: Database, clock: Clock
) -> None:
    mine = Router()

    @mine.message(Command("start", "stop"))
    async def answer(message: Message) -> None:
        await message.answer(f"mine: {message.text}")

    async with talk(database, clock, mine, settings={"reengagement": {}}) as talking:
        await talking.hears(update("/stop"))
        opted_out = (await chat_of(talking.chats)).opted_out_at_ms
        await talking.hears(update("/start"))

        assert talking.said == ["mine: /stop", "mine: /start"]
        assert opted_out == clock() - 1_000
        assert (await chat_of(talking.chats)).opted_out_at_ms is None


@pytest.mark.parametrize("name", ["reengagement", "preferences"])
async def test_a_user_who_opts_out_gets_nothing_of_the_bots_own_accord_that_waits(
    database: Database, clock: Clock, name: str
) -> None:
    keys = {
        "re-engagement": "client:campaign:reengagement:7:2026-01-01",
        "broadcast": "broadcast:3:0:7",
        "digest": "watch:7:1",
        "of a client": "client:order 5",
        "answer": None,
    }
    async with talk(database, clock, settings={name: {}}) as talking:
        queue = talking.broadcasts
        messages = [
            structs.replace(outgoing(each, bot_id=BOT_ID, chat_id=PRIVATE, ready_at_ms=clock() + 60_000), dedup_key=key)
            for each, key in sorted(keys.items())
        ]
        others = outgoing("of another user", bot_id=BOT_ID, chat_id=PRIVATE + 1)
        await queue.dispatcher.submit([*messages, structs.replace(others, dedup_key="broadcast:3:0:8")])

        await talking.hears(update("/stop"))

        standings = await queue.ledger.standings([*sorted(keys), others.id])
        ended = {each.message_id for each in standings if each and each.status is Status.CANCELLED}
        assert ended == {"re-engagement", "broadcast", "digest"}
        assert sum((await queue.broker.stats()).waiting.values()) == 3
