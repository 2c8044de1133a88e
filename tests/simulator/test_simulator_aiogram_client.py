"""aiogram, a client that knows nothing of us, understands every answer."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot
from aiogram import methods as aiogram_methods
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramForbiddenError, TelegramMigrateToChat, TelegramRetryAfter
from aiogram.methods import TelegramMethod
from aiogram.types import BufferedInputFile, InputMediaPhoto, Message

from tempogram.simulator import Fault
from tempogram.simulator.methods.methods import METHODS
from tests.simulator.conftest import Client

# What a method needs to be accepted; those not listed need nothing but a chat, or nothing at all.
NEEDED: dict[str, dict[str, Any]] = {
    "text": {"text": "hello"},
    "caption": {"caption": "hello"},
    "latitude": {"latitude": 1.5, "longitude": 2.5},
    "media": {"media": [{"type": "photo", "media": "id"}]},
    "options": {"options": [{"text": "yes"}, {"text": "no"}]},
    "message_ids": {"message_ids": [1, 2]},
    "prices": {"prices": [{"label": "all", "amount": 5}]},
    "checklist": {"checklist": {"title": "to do", "tasks": [{"id": 1, "text": "rest"}]}},
    "stickers": {"stickers": [{"sticker": "id", "format": "static", "emoji_list": ["a"]}]},
    "emoji_list": {"emoji_list": ["a"]},
    "rich_message": {"rich_message": {"html": "x"}},
    "commands": {"commands": [{"command": "start", "description": "begin"}]},
    "user_id": {"user_id": 7},
    "chat_id": {"chat_id": 7},
    "from_chat_id": {"from_chat_id": 8},
    "message_id": {"message_id": 1},
    "star_count": {"star_count": 1},
    "url": {"url": ""},
    "allowed_updates": {},
    "offset": {},
    "limit": {},
    "timeout": {},
}


@pytest.fixture
async def aiogram_bot(client: Client) -> AsyncIterator[Bot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(client.url))
    yield Bot(client.token, session=session)
    await session.close()  # which takes 250 ms if it was used


def methods_of_aiogram() -> list[type[TelegramMethod[Any]]]:
    classes = [getattr(aiogram_methods, name) for name in aiogram_methods.__all__]
    return [kind for kind in classes if kind is not TelegramMethod and issubclass(kind, TelegramMethod)]


def test_every_method_that_aiogram_knows_is_known_here() -> None:
    assert {kind.__api_method__.lower() for kind in methods_of_aiogram()} <= set(METHODS)


@pytest.mark.parametrize("kind", methods_of_aiogram(), ids=lambda kind: kind.__name__)
async def test_aiogram_parses_the_answer_to(kind: type[TelegramMethod[Any]], client: Client, aiogram_bot: Bot) -> None:
    client.change(accept_any_message=True)
    params: dict[str, Any] = {"media": {"type": "photo", "media": "id"}} if kind.__name__ == "EditMessageMedia" else {}
    for name in kind.model_fields:
        if name not in params:
            fallback = {name: "x"} if kind.model_fields[name].is_required() else {}
            params |= NEEDED.get(name, fallback)

    # Built without checking: it is the answer that is looked at, not aiogram's own arguments.
    answer = await client.call(kind.__api_method__, **params)
    response = aiogram_bot.session.check_response(aiogram_bot, kind.model_construct(**params), 200, json.dumps(answer))

    assert answer["ok"]
    assert response.ok


async def test_aiogram_sends_a_message_an_upload_and_an_album(aiogram_bot: Bot) -> None:
    message = await aiogram_bot.send_message(7, "hello")
    photo = await aiogram_bot.send_photo(7, BufferedInputFile(b"12345", "x.jpg"), caption="look")
    album = await aiogram_bot.send_media_group(-5, [InputMediaPhoto(media=BufferedInputFile(b"1", "a"))] * 3)

    assert (message.text, message.chat.id) == ("hello", 7)
    assert photo.photo is not None
    assert photo.photo[0].file_size == 5
    assert all(isinstance(item, Message) for item in album)


async def test_aiogram_understands_how_telegram_refuses(client: Client, aiogram_bot: Bot) -> None:
    client.simulator.order(Fault(kind="429", chat_id=-1, retry_after_s=7))
    client.simulator.order(Fault(kind="blocked", chat_id=2))
    client.simulator.order(Fault(kind="migrated", chat_id=-3))

    with pytest.raises(TelegramRetryAfter) as throttled:
        await aiogram_bot.send_message(-1, "hello")
    with pytest.raises(TelegramForbiddenError):
        await aiogram_bot.send_message(2, "hello")
    with pytest.raises(TelegramMigrateToChat) as migrated:
        await aiogram_bot.send_message(-3, "hello")

    assert throttled.value.retry_after == 7
    assert (await aiogram_bot.send_message(migrated.value.migrate_to_chat_id, "hello")).message_id


async def test_aiogram_polls_updates(client: Client, aiogram_bot: Bot) -> None:
    user, bot = client.simulator.add_user("Anna"), client.simulator.add_bot(client.token)
    user.says(bot, "/start")

    (update,) = await aiogram_bot.get_updates(timeout=1)

    assert update.message is not None
    assert update.message.text == "/start"
