"""Every method of aiogram: it counts and passes the engine, or the table exempts it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, cast, get_args

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import TelegramAPIError
from aiogram.methods import SendMessage
from aiogram.types import Chat, Message

from tempogram.bot.calls import session
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.calls.session import EngineSession
from tempogram.bot.telegram.method_classes import BY_NAME, AnyMethod, every_method
from tempogram.bot.telegram.methods import COUNTED, DIRECT, MAY_RETURN_TRUE, QUEUED, UNCOUNTED
from tempogram.engine.model.messages import Guarantee
from tests.bot.fakes import (
    TOKEN,
    AcceptingDispatcher,
    DirectAiohttpSession,
    DirectSession,
    TokenList,
    minimal_fields,
    shortcut,
)
from tests.bot.gateways import under_every_bot
from tests.engine.desk import turns

EVERY = sorted(every_method().values(), key=lambda method: method.__api_method__)


def the(method: type[AnyMethod]) -> AnyMethod:
    return method(**minimal_fields(method))


async def by_shortcut(bot: Bot, method: type[AnyMethod]) -> Any:
    return await getattr(bot, shortcut(method))(**minimal_fields(method))


async def by_call(bot: Bot, method: type[AnyMethod]) -> Any:
    return await bot(the(method))


async def by_awaiting(bot: Bot, method: type[AnyMethod]) -> Any:
    return await the(method).as_(bot)


WAYS = [by_shortcut, by_call, by_awaiting]


def test_every_method_of_aiogram_stands_in_exactly_one_table() -> None:
    names = set(every_method())

    assert sorted([*COUNTED, *UNCOUNTED, *DIRECT]) == sorted(names)
    assert {name.lower() for name in names} == set(BY_NAME)


def test_the_methods_that_may_return_true_are_those_of_aiogram() -> None:
    returned = {name: kind.__returning__ for name, kind in every_method().items()}

    expected = {name for name in QUEUED if returned[name] is bool or bool in get_args(returned[name])}
    assert expected == MAY_RETURN_TRUE


def test_every_method_that_goes_directly_has_a_reason() -> None:
    assert all(reason.strip() for reason in DIRECT.values())


def test_every_method_that_only_reads_goes_directly() -> None:
    assert {name for name in every_method() if name.startswith("get")} < DIRECT.keys()


def test_what_is_uncounted_takes_no_place_and_what_counts_takes_some() -> None:
    assert {rule.cost({}) for rule in UNCOUNTED.values()} == {0}
    assert {rule.cost({}) for rule in COUNTED.values()} == {1}


@pytest.mark.parametrize(
    ("name", "params", "guarantee"),
    [
        ("deleteMessage", {"chat_id": 7, "message_id": 1}, Guarantee.AT_LEAST_ONCE),
        ("banChatMember", {"chat_id": -5, "user_id": 7}, Guarantee.AT_LEAST_ONCE),
        ("unpinChatMessage", {"chat_id": -5, "message_id": 1}, Guarantee.AT_LEAST_ONCE),
        ("unpinChatMessage", {"chat_id": -5}, Guarantee.AT_MOST_ONCE),
        ("createInvoiceLink", {}, Guarantee.AT_MOST_ONCE),
        ("refundStarPayment", {"user_id": 7}, Guarantee.AT_MOST_ONCE),
        ("sendGift", {"user_id": 7}, Guarantee.AT_MOST_ONCE),
        ("sendMessage", {"chat_id": 7}, Guarantee.AT_LEAST_ONCE),
    ],
)
def test_a_call_that_perhaps_took_effect_is_made_again_only_where_that_changes_nothing(
    name: str, params: dict[str, Any], guarantee: Guarantee
) -> None:
    assert QUEUED[name].guarantee(params) is guarantee


@pytest.mark.parametrize(
    ("name", "params", "chat_id"),
    [
        ("deleteMessage", {"chat_id": "-5", "message_id": 1}, -5),
        ("setChatMenuButton", {}, "method:setChatMenuButton"),
        ("setMyCommands", {"scope": {"type": "chat", "chat_id": 7}}, "method:setMyCommands"),
        ("sendGift", {"user_id": 7}, None),
    ],
)
def test_an_uncounted_call_belongs_to_its_chat_or_to_its_like(name: str, params: dict[str, Any], chat_id: Any) -> None:
    assert QUEUED[name].chat_id(params) == chat_id


def test_every_method_that_sends_forwards_copies_or_edits_a_message_counts() -> None:
    names = [name for name in every_method() if name.startswith(("send", "forward", "copy", "editMessage"))]

    others = [name for name in names if name not in COUNTED]

    assert others == ["sendChatAction", "sendChatJoinRequestWebApp"]


async def begun(call: Awaitable[Any]) -> None:
    """Make a call, and wait for it no longer than until it waits in the queue."""
    calling = asyncio.ensure_future(call)
    await turns()
    calling.cancel()
    await asyncio.wait([calling])
    if not calling.cancelled():
        calling.result()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.__api_method__)
async def test_each_method_passes_the_engine_or_goes_directly(
    method: type[AnyMethod], way: Any, direct: DirectSession, accepting: AcceptingDispatcher
) -> None:
    bot = Bot(TOKEN, session=direct)
    name = method.__api_method__

    await begun(way(bot, method))

    assert accepting.methods == ([name] if name in QUEUED else [])
    assert direct.called == ([name] if name in DIRECT else [])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["answer", "reply", "edit_text", "edit_caption", "answer_photo", "forward", "copy_to"])
async def test_a_messages_shortcut_passes_the_engine(
    name: str, direct: DirectSession, accepting: AcceptingDispatcher
) -> None:
    message = received().as_(Bot(TOKEN, session=direct))
    arguments: dict[str, dict[str, Any]] = {
        "edit_caption": {"caption": "new"},
        "answer_photo": {"photo": "file-id"},
        "forward": {"chat_id": 8},
        "copy_to": {"chat_id": 8},
    }

    await begun(getattr(message, name)(**arguments.get(name, {"text": "hello"})))

    assert len(accepting.messages) == 1
    assert direct.called == []


@pytest.mark.usefixtures("installed")
async def test_a_bot_with_a_session_of_its_own_passes_the_engine(accepting: AcceptingDispatcher) -> None:
    own = DirectAiohttpSession()
    bot = Bot(TOKEN, session=own)

    await bot.send_message(5, "hello")
    await bot.get_me()

    assert accepting.methods == ["sendMessage"]
    assert own.called == ["getMe"]


@pytest.mark.usefixtures("installed")
async def test_a_bot_with_aiograms_default_session_passes_the_engine(accepting: AcceptingDispatcher) -> None:
    bot = Bot(TOKEN)

    await bot.send_message(5, "hello")

    assert isinstance(bot.session, EngineSession)
    assert isinstance(bot.session.direct, AiohttpSession)
    assert accepting.methods == ["sendMessage"]


@pytest.mark.usefixtures("installed")
async def test_a_bot_whose_session_is_replaced_later_passes_the_engine(accepting: AcceptingDispatcher) -> None:
    bot, later = Bot(TOKEN, session=DirectSession()), DirectSession()

    bot.session = later
    await bot.send_message(5, "hello")
    await bot.get_me()

    assert accepting.methods == ["sendMessage"]
    assert later.called == ["getMe"]


async def test_a_bot_that_was_built_before_passes_the_engine(gateway: Gateway, accepting: AcceptingDispatcher) -> None:
    """A user's module may build its bot while it is imported, which is before the program is put together."""
    bot = Bot(TOKEN, session=DirectSession())

    with under_every_bot(gateway):
        await bot.send_message(5, "hello")

    assert accepting.methods == ["sendMessage"]


@pytest.mark.usefixtures("installed")
async def test_a_subclass_of_bot_passes_the_engine(direct: DirectSession, accepting: AcceptingDispatcher) -> None:
    class MyBot(Bot):
        pass

    await MyBot(TOKEN, session=direct).send_message(5, "hello")

    assert accepting.methods == ["sendMessage"]
    assert direct.called == []


@pytest.mark.usefixtures("installed")
async def test_a_users_own_bot_is_known_from_its_first_call_on(direct: DirectSession, tokens: TokenList) -> None:
    bot = Bot("77:a-users-own-token", session=direct)

    await bot.get_me()
    before = list(tokens.learned)
    await bot.send_message(5, "hello")

    assert before == []
    assert tokens.learned == ["77:a-users-own-token"]


@pytest.mark.usefixtures("installed")
async def test_a_middleware_on_a_users_session_still_runs_once(
    direct: DirectSession, accepting: AcceptingDispatcher
) -> None:
    seen: list[str] = []

    async def note(make_request: Any, bot: Bot, method: AnyMethod) -> Any:
        seen.append(method.__api_method__)
        return await make_request(bot, method)

    bot = Bot(TOKEN, session=direct)
    direct.middleware(cast("Any", note))
    await bot.send_message(5, "hello")
    await bot.get_me()

    assert seen == ["sendMessage", "getMe"]
    assert accepting.methods == ["sendMessage"]


@pytest.mark.usefixtures("installed")
async def test_a_middleware_that_refuses_a_call_keeps_it_out_of_the_engine(
    direct: DirectSession, accepting: AcceptingDispatcher
) -> None:
    async def refuse(_: Any, __: Bot, method: AnyMethod) -> Any:
        raise TelegramAPIError(method, "not today")

    direct.middleware(cast("Any", refuse))

    with pytest.raises(TelegramAPIError, match="not today"):
        await Bot(TOKEN, session=direct).send_message(5, "hello")
    assert accepting.methods == []


@pytest.mark.usefixtures("installed")
async def test_closing_a_bot_and_reading_a_file_reach_the_session_it_was_given(direct: DirectSession) -> None:
    bot = Bot(TOKEN, session=direct)

    content = [chunk async for chunk in bot.session.stream_content("https://example.org/file")]
    async with bot.context():
        pass

    assert content == [b"a file"]
    assert direct.closed


async def test_removing_the_session_restores_aiogram(gateway: Gateway, accepting: AcceptingDispatcher) -> None:
    assert not hasattr(Bot, "session")
    session.install(gateway)()

    direct = DirectSession()
    bot = Bot(TOKEN, session=direct)
    await bot(SendMessage(chat_id=5, text="hello"))

    assert not hasattr(Bot, "session")
    assert bot.session is direct
    assert (direct.called, accepting.methods) == (["sendMessage"], [])


async def test_a_bot_built_meanwhile_keeps_a_session_afterwards(gateway: Gateway) -> None:
    with under_every_bot(gateway):
        bot = Bot(TOKEN, session=DirectSession())

    assert await bot.send_chat_action(7, "typing")


def received() -> Message:
    chat = Chat(id=7, type="private")
    return Message(message_id=3, date=datetime(2026, 1, 1, tzinfo=UTC), chat=chat, text="hi")
