from __future__ import annotations

from tempogram.bot.behaviours.preferences import TEMPLATES
from tempogram.storage.chats import Chats, KnownChat
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, talk, update
from tests.fakes import Clock

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
