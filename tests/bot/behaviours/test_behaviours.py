"""What bots say. A behaviour returns methods, so it is tested by calling it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram import Bot, Router
from aiogram.methods import SendMessage
from aiogram.types import Chat, Message, Update, User
from pydantic import BaseModel

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours import commands, echo
from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.dispatchers import dispatchers_of
from tempogram.bot.behaviours.registry import GREETING, Behaviours
from tests.bot.fakes import TOKEN, USERNAME, DirectSession, OneBot, registered
from tests.bot.talk import behaviour

ANNA = User(id=4, is_bot=False, first_name="Anna", username="anna")


def message(text: str, *, sender: User | None = ANNA, title: str | None = None) -> Message:
    chat = Chat(id=-5, type="supergroup", title=title) if title else Chat(id=4, type="private")
    return Message(message_id=1, date=datetime(2026, 1, 1, tzinfo=UTC), chat=chat, from_user=sender, text=text)


async def said(text: str, **config: Any) -> str | None:
    """Return what a bot with these behaviours answers."""
    dispatchers = await dispatchers_of(Behaviours().all, OneBot(behaviours=config))
    bot = Bot(TOKEN, session=DirectSession())
    update = Update(update_id=1, message=message(text))
    returned = await dispatchers.feed_update(bot, update, registered=registered(config))
    return returned.text if isinstance(returned, SendMessage) else None


async def test_echo_repeats_a_text_in_the_same_chat() -> None:
    method = await echo.echo(message("hello"))

    assert (method.chat_id, method.text) == (4, "hello")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello, {first_name}!", "Hello, Anna!"),
        ("@{username} in {chat_title}", "@anna in Chess"),
        ("You said: {args}", "You said: one two"),
        ("I am {bot}", f"I am {USERNAME}"),
        ("{unknown} {{first_name}} { first_name }", "{unknown} {Anna} { first_name }"),
        ("{first_name.__class__} {0} {}", "{first_name.__class__} {0} {}"),
        ("no braces", "no braces"),
    ],
)
async def test_a_template_names_fields_and_nothing_else(template: str, text: str) -> None:
    asked = message("/start  one two ", title="Chess")

    method = await commands.answer(asked, registered({}), template)

    assert method.text == text


async def test_a_field_without_a_value_is_empty() -> None:
    method = await commands.answer(
        message("/start", sender=None), registered({}), "[{first_name}|{username}|{chat_title}|{args}]"
    )

    assert method.text == "[|||]"


async def test_braces_in_a_users_name_are_not_filled_in() -> None:
    rascal = User(id=4, is_bot=False, first_name="{bot}")

    method = await commands.answer(message("/start", sender=rascal), registered({}), "Hello, {first_name}!")

    assert method.text == "Hello, {bot}!"


START = {"start": "Hello!"}


@pytest.mark.parametrize(
    "text", ["/start", "/START", f"/start@{USERNAME}", f"/start@{USERNAME.upper()} x", "/start\nx"]
)
async def test_a_command_is_answered(text: str) -> None:
    assert await said(text, commands=START) == "Hello!"


@pytest.mark.parametrize("text", ["/stop", "/start@another_bot", "start", "/", "/startx", " /start", "hello /start"])
async def test_a_text_that_is_no_command_of_this_bot_is_not_answered(text: str) -> None:
    assert await said(text, commands=START) is None


async def test_echo_cuts_a_text_that_no_message_takes() -> None:
    assert (await echo.echo(message("a" * 5_000))).text == "a" * 4_095 + "…"


async def test_echo_does_not_repeat_a_command_for_another_bot() -> None:
    assert await said("/start@other_bot", commands=START, echo={}) is None


async def test_commands_come_before_the_echo() -> None:
    assert await said("/start", commands=START, echo={}) == "Hello!"
    assert await said("hello", commands=START, echo={}) == "hello"


async def test_a_bot_without_behaviours_says_nothing() -> None:
    assert await said("/start") is None


async def test_a_simulated_bot_knows_start_and_help_and_repeats_the_rest() -> None:
    greeting, helping, rest = [await said(text, **GREETING) for text in ("/start", "/help", "Test 1")]

    assert (greeting or "").startswith("Hello, Anna!")
    assert "/start" in (helping or "")
    assert rest == "Test 1"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"ecko": {}},
            "'ecko' is not a behaviour; choose from preferences, broadcasts, commands, watches, reengagement",
        ),
        ({"echo": {"loud": True}}, "echo has no settings, so 'loud' is unknown"),
        ({"echo": None}, "the settings of echo are None; they must be an object, {} for none"),
        ({"commands": ["start"]}, "the settings of commands are ['start']; they must be an object, {} for none"),
        ({"commands": {"/start": "hi"}}, "'/start' is not a command name; use up to 32 of a-z, 0-9 and _"),
        ({"commands": {"start": " "}}, "the template of /start is ' '; it must be a non-empty text"),
        ({"commands": {"start": 5}}, "the template of /start is 5; it must be a non-empty text"),
    ],
    ids=str,
)
def test_invalid_behaviours_are_refused_in_one_sentence(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        Behaviours().check(config)

    assert str(refused.value).startswith(sentence)


def test_the_behaviours_of_simulated_bots_are_valid() -> None:
    Behaviours().check(GREETING)


@pytest.mark.parametrize("config", [{"x" * 9_000: {}}, {"echo": ["x"] * 9_000}, {"commands": {"start": ["x"] * 9_000}}])
def test_a_refusal_quotes_no_more_than_the_beginning_of_a_value(config: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        Behaviours().check(config)

    assert len(str(refused.value)) < 200


def shop(**functions: Any) -> Behaviour:
    return behaviour(Router(), name="shop", **functions)


def refusing(config: Any) -> None:
    if "currency" not in config:
        raise ValueError("there is no currency;\n  say EUR or CHF")


def test_the_settings_of_a_module_are_checked_by_its_own_function() -> None:
    behaviours = Behaviours([shop(check=refusing)])
    behaviours.check({"shop": {"currency": "EUR"}})

    with pytest.raises(Refusal) as refused:
        behaviours.check({"shop": {}})

    assert str(refused.value) == "the settings of shop are refused: there is no currency; say EUR or CHF"


class ShopSettings(BaseModel):
    currency: str


def test_a_pydantic_model_checks_settings_in_one_sentence() -> None:
    behaviours = Behaviours([shop(check=lambda config: ShopSettings(**config))])

    with pytest.raises(Refusal, match=r"^the settings of shop are refused: currency: Field required$"):
        behaviours.check({"shop": {}})


def test_a_check_that_fails_is_named_with_its_line() -> None:
    with pytest.raises(Refusal, match=r"check\(\) of shop failed: KeyError: 'x' \(.*test_behaviours.py, line \d+\)"):
        Behaviours([shop(check=lambda config: config["x"])]).check({"shop": {}})


def test_a_module_without_a_check_takes_any_object() -> None:
    Behaviours([shop()]).check({"shop": {"anything": [1]}})


def test_an_unknown_behaviour_is_refused_with_the_names_of_the_users_own_first() -> None:
    with pytest.raises(
        Refusal,
        match="'shp' is not a behaviour; choose from preferences, shop, broadcasts, commands, watches, reengagement, "
        "replies, echo",
    ):
        Behaviours([shop()]).check({"shp": {}})


@pytest.mark.parametrize(
    ("names", "of_an_added_bot", "of_settings"),
    [
        ((), {}, {}),
        (("shop",), {"shop": {}}, {"shop": {}}),
        (("shop", "desk"), {}, {"shop": {}, "desk": {}}),
    ],
)
def test_a_new_bot_has_the_only_module_and_a_bot_of_the_settings_has_every_module(
    names: tuple[str, ...], of_an_added_bot: dict[str, Any], of_settings: dict[str, Any]
) -> None:
    behaviours = Behaviours([behaviour(Router(), name=name) for name in names])

    assert (behaviours.of_an_added_bot, behaviours.of_settings) == (of_an_added_bot, of_settings)


def test_a_simulated_bot_greets_and_repeats_besides_the_modules() -> None:
    assert Behaviours([shop()], simulated=True).of_settings == {"shop": {}, **GREETING}


def test_a_module_that_needs_settings_is_left_out_of_the_bots_of_the_settings() -> None:
    behaviours = Behaviours([shop(check=refusing)])

    assert behaviours.of_settings == {}
    assert [(each.name, each.reason) for each in behaviours.unusable] == [
        ("shop", "the settings of shop are refused: there is no currency; say EUR or CHF")
    ]
