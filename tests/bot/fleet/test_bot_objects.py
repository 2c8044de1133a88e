"""Which parameters a bot's calls have unless they say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiogram import Bot
from aiogram.methods import PinChatMessage, SendMessage, SendPhoto

from tempogram.bot.fleet.bot_objects import Defaults, text_params
from tempogram.bot.telegram.composer import prepare
from tempogram.bot.telegram.method_classes import AnyMethod
from tests.bot.fakes import TOKEN, DirectSession

HTML = {"parse_mode": "HTML"}


def bot(of_settings: Mapping[str, Any], own: Mapping[str, Any]) -> Bot:
    return Bot(TOKEN, session=DirectSession(), default=Defaults(of_settings).of(own))


@pytest.mark.parametrize(
    ("of_settings", "own", "params"),
    [
        ({}, {}, {}),
        (HTML, {}, HTML),
        (HTML, {"parse_mode": "MarkdownV2"}, {"parse_mode": "MarkdownV2"}),
        (HTML, {"parse_mode": ""}, {}),
        ({"protect_content": True}, {"protect_content": False}, {"protect_content": False}),
        ({"protect_content": None}, {"disable_notification": True}, {"disable_notification": True}),
        ({}, {"link_preview_show_above_text": True}, {"link_preview_options": {"show_above_text": True}}),
    ],
)
def test_a_text_has_the_defaults_of_its_bot_over_those_of_the_settings(
    of_settings: Mapping[str, Any], own: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    assert text_params(bot(of_settings, own)) == params


def test_what_a_call_says_has_precedence() -> None:
    silent = bot({}, HTML | {"disable_notification": True})
    call = SendPhoto(chat_id=5, photo="x", parse_mode=None, disable_notification=False)

    assert prepare(silent, call).params == {"chat_id": 5, "photo": "x", "disable_notification": False}


def test_a_default_without_sound_reaches_every_method_that_makes_one() -> None:
    silent = bot({}, {"disable_notification": True})
    calls: list[AnyMethod] = [SendMessage(chat_id=5, text="a"), PinChatMessage(chat_id=5, message_id=6)]

    assert [prepare(silent, call).params["disable_notification"] for call in calls] == [True, True]
