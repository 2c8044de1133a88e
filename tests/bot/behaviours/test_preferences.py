from __future__ import annotations

from typing import Any

import pytest
from aiogram import Router
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours import preferences
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.storage.chats import Chats, KnownChat
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, behaviour, talk, update
from tests.fakes import START_MS, Clock

SETTINGS: dict[str, Any] = {"preferences": {}, "commands": {"start": "Hello, {first_name}!"}, "echo": {}}


async def known(chats: Chats, chat_id: int = PRIVATE) -> KnownChat:
    chat = await chats.get(BOT_ID, chat_id)
    assert chat is not None
    return chat


@pytest.mark.parametrize("city", ["Europe/Berlin", "berlin", "  BERLIN "])
async def test_a_user_sets_the_time_zone_by_its_name_or_a_city(database: Database, clock: Clock, city: str) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update(f"/timezone {city}"))
        zone = (await known(talking.chats)).time_zone

    assert zone == "Europe/Berlin"
    assert talking.said == ["Your time zone is Europe/Berlin now; it is 23:13 there."]


async def test_a_user_is_shown_the_time_zone_and_how_to_set_it(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/timezone"), update("/timezone Atlantis"), update("/timezone tokyo"))
        await talking.hears(update("/timezone"))

    assert talking.said[0].startswith("I do not know your time zone.")
    assert talking.said[1].startswith("I do not know the time zone of Atlantis.")
    assert talking.said[3] == "Your time zone is Asia/Tokyo; it is 07:13 there."


async def test_a_user_opts_out_and_start_opts_in_again_and_is_passed_on(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/stop"))
        opted_out_at_ms = (await known(talking.chats)).opted_out_at_ms
        await talking.hears(update("/start"))
        opted_in = (await known(talking.chats)).opted_out_at_ms

    assert (opted_out_at_ms, opted_in) == (START_MS + 1_000, None)
    assert talking.said == [preferences.TEMPLATES["stop"], "Hello, Anna!"]


async def test_texts_are_templates_and_a_start_of_its_own_is_not_passed_on(database: Database, clock: Clock) -> None:
    own = {"start": "Welcome back, {first_name}.", "stop": "Bye, {first_name}.", "zone_set": "{zone}, {args}, {other}"}

    async with talk(database, clock, settings={**SETTINGS, "preferences": own}) as talking:
        await talking.hears(update("/stop"), update("/start"), update("/timezone {zone}"), update("/timezone Berlin"))

    assert talking.said[:2] == ["Bye, Anna.", "Welcome back, Anna."]
    assert "of {zone}" in talking.said[2]
    assert talking.said[3] == "Europe/Berlin, Berlin, {other}"


async def test_modules_of_ones_own_do_not_take_its_commands_and_get_start(database: Database, clock: Clock) -> None:
    everything = Router()

    @everything.message()
    async def answer(message: Message) -> SendMessage:
        return message.answer(f"mine: {message.text}")

    async with talk(database, clock, behaviour(everything), settings={"preferences": {}}) as talking:
        await talking.hears(update("/stop"), update("/start"), update("hello"))

    assert talking.said == [preferences.TEMPLATES["stop"], "mine: /start", "mine: hello"]


async def test_in_a_group_its_commands_are_those_of_the_others(database: Database, clock: Clock) -> None:
    async with talk(database, clock, settings=SETTINGS) as talking:
        await talking.hears(update("/stop", chat_id=GROUP))
        opted_out_at_ms = (await known(talking.chats, GROUP)).opted_out_at_ms

    assert opted_out_at_ms is None
    assert talking.said == ["/stop"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"bye": "Bye"}, "'bye' is not a setting of preferences; choose from zone_set"),
        ({"stop": ""}, "stop of preferences is ''; it must be a non-empty text"),
        ({"start": 5}, "start of preferences is 5; it must be a non-empty text"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        Behaviours().check({"preferences": config})

    assert str(refused.value).startswith(sentence)
