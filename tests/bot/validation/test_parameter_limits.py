"""Lists and texts that Telegram is certain to refuse are refused before they wait for a place."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.enums import ParseMode
from aiogram.methods import SendMediaGroup, SendMessage, SendPhoto
from aiogram.types import InputMediaPhoto

from tempogram.api.core.ports import Refusal
from tempogram.bot.telegram.composer import MethodComposer, prepare
from tempogram.bot.telegram.method_classes import BY_NAME
from tempogram.bot.telegram.methods import COUNTED, QUEUED
from tempogram.bot.validation import parameter_limits
from tempogram.bot.validation.parameter_limits import LIMITS, UNBOUNDED, Characters, Items
from tests.bot.fakes import BOT_ID, TOKEN, DirectSession

PHOTO = {"type": "photo", "media": "id"}


def said(method: str, **params: Any) -> str | None:
    """Return what a call is refused with; None if it is not."""
    try:
        parameter_limits.check(method, params)
    except Refusal as refusal:
        return str(refusal)
    return None


def lists_of(method: str) -> set[str]:
    """Return the names of a method's parameters that are lists."""

    def kinds(annotation: object) -> set[object]:
        if get_origin(annotation) in {Union, UnionType}:
            return set().union(*map(kinds, get_args(annotation)))
        return {get_origin(annotation)}

    fields = BY_NAME[method.lower()].model_fields.items()
    return {name for name, field in fields if list in kinds(field.annotation)}


@pytest.mark.parametrize("method", QUEUED)
def test_each_list_of_a_queued_method_has_its_bounds_or_a_reason_for_none(method: str) -> None:
    bounded = {limit.path for limit in LIMITS.get(method, ()) if isinstance(limit, Items)}

    assert lists_of(method) - set(UNBOUNDED) <= bounded


@pytest.mark.parametrize("method", LIMITS)
def test_each_limit_is_that_of_a_parameter_which_the_method_has(method: str) -> None:
    assert method in QUEUED
    for limit in LIMITS[method]:
        assert limit.path.replace("[]", "").split(".")[0] in BY_NAME[method.lower()].model_fields
        if isinstance(limit, Characters) and "." not in limit.path and "[]" not in limit.path:
            assert limit.parse_mode in BY_NAME[method.lower()].model_fields


def test_a_caption_has_a_limit_wherever_a_counted_call_has_one() -> None:
    captioned = {method for method in COUNTED if "caption" in BY_NAME[method.lower()].model_fields}

    assert captioned == {
        method
        for method, limits in LIMITS.items()
        if method in COUNTED and any(limit.path == "caption" for limit in limits)
    }


@pytest.mark.parametrize(
    ("method", "name", "least", "most", "too_few", "too_many"),
    [
        (
            *("sendMediaGroup", "media", 1, 10),
            "there are no messages to send: sendMediaGroup takes 1 to 10 media, not 0",
            "too many messages to send as an album: sendMediaGroup takes 1 to 10 media, not 11",
        ),
        (
            *("copyMessages", "message_ids", 1, 100),
            "message identifiers are not specified: copyMessages takes 1 to 100 message_ids, not 0",
            "too many message identifiers specified: copyMessages takes 1 to 100 message_ids, not 101",
        ),
        (
            *("sendPoll", "options", 1, 12),
            "poll must have at least one answer option: sendPoll takes 1 to 12 options, not 0",
            "poll can't have more than 12 options: sendPoll takes 1 to 12 options, not 13",
        ),
        (
            *("sendPaidMedia", "media", 1, 10),
            "sendPaidMedia takes 1 to 10 media, not 0",
            "sendPaidMedia takes 1 to 10 media, not 11",
        ),
        (
            "setMyCommands",
            "commands",
            0,
            100,
            None,
            "BOT_COMMANDS_TOO_MUCH: setMyCommands takes up to 100 commands, not 101",
        ),
    ],
)
def test_a_list_is_taken_within_its_bounds_and_refused_beyond_in_telegrams_words(
    method: str, name: str, least: int, most: int, too_few: str | None, too_many: str
) -> None:
    assert [said(method, **{name: [{}] * count}) for count in (least, most)] == [None, None]
    assert said(method, **{name: [{}] * (most + 1)}) == too_many
    if least:
        assert said(method, **{name: [{}] * (least - 1)}) == too_few


def test_a_list_inside_of_a_parameter_has_its_bounds() -> None:
    tasks = [{"id": number, "text": "a"} for number in range(31)]

    assert said("sendChecklist", checklist={"title": "a", "tasks": tasks[:30]}) is None
    assert said("sendChecklist", checklist={"title": "a", "tasks": tasks}) == (
        "sendChecklist takes 1 to 30 checklist.tasks, not 31"
    )


@pytest.mark.parametrize("character", ["a", "ж", "😀"])
def test_a_text_has_as_many_code_points_as_telegram_takes(character: str) -> None:
    assert said("sendMessage", text=character * 4_096) is None
    assert said("sendMessage", text=character * 4_097) == (
        "message is too long: text has 4,097 characters, and sendMessage takes 4,096; send it in parts"
    )


@pytest.mark.parametrize("text", ["a" * 4_096 + " \n", "\r\n" * 2_000 + "a", "a" * 4_096 + "\u202e"])
def test_what_telegram_takes_out_of_a_text_does_not_count(text: str) -> None:
    assert said("sendMessage", text=text) is None


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("sendPhoto", {"caption": "😀" * 1_025}, "message caption is too long: caption has 1,025 characters"),
        (
            "sendMediaGroup",
            {"media": [PHOTO, PHOTO | {"caption": "a" * 1_025}]},
            "message caption is too long: media[]",
        ),
        ("editMessageMedia", {"media": PHOTO | {"caption": "a" * 1_025}}, "message caption is too long: media.caption"),
        ("sendPoll", {"question": "a" * 301, "options": ["a"]}, "poll question length must not exceed 300: question"),
        (
            "sendPoll",
            {"question": "a", "options": ["a", "b" * 101]},
            "poll options length must not exceed 100: options",
        ),
        ("sendPoll", {"question": "a", "options": [{"text": "b" * 101}]}, "poll options length must not exceed 100"),
        ("sendPoll", {"question": "a", "options": ["a"], "explanation": "a" * 201}, "explanation has 201 characters"),
        ("editMessageText", {"text": ""}, "message text is empty: editMessageText needs a text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_texts_have_limits_of_their_own(method: str, params: dict[str, Any], words: str) -> None:
    assert (said(method, **params) or "").startswith(words)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("sendMessage", {"text": "<b>" * 2_000 + "a" + "</b>" * 2_000, "parse_mode": "HTML"}),
        ("sendMediaGroup", {"media": [PHOTO | {"caption": "*a*" * 500, "parse_mode": "Markdown"}, PHOTO]}),
        ("sendPhoto", {"caption": "a" * 2_000, "business_connection_id": "b"}),
        ("sendMessageDraft", {"text": ""}),
        ("sendMessage", {"text": "a", "entities": [{}] * 1_000}),
        ("sendMediaGroup", {"media": [PHOTO]}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_only_telegram_can_judge_is_left_to_telegram(method: str, params: dict[str, Any]) -> None:
    assert said(method, **params) is None


def test_an_album_of_thirty_thousand_is_refused_however_it_is_submitted(composer: MethodComposer) -> None:
    """It was accepted, refused by Telegram, and kept its private chat waiting for more than eight hours."""
    bot = Bot(TOKEN, session=DirectSession())
    album = SendMediaGroup(chat_id=5, media=[InputMediaPhoto(media="id")] * 30_000)

    with pytest.raises(Refusal, match=r"too many messages to send as an album: .* not 30,000"):
        composer.from_method(prepare(bot, album), COUNTED["sendMediaGroup"])
    with pytest.raises(Refusal, match=r"too many messages to send as an album: .* not 30,000"):
        composer.compose(BOT_ID, 5, "sendMediaGroup", {"media": [PHOTO] * 30_000})


def test_a_text_of_a_program_counts_as_markup_if_its_bots_default_says_so(composer: MethodComposer) -> None:
    marked = Bot(TOKEN, session=DirectSession(), default=DefaultBotProperties(parse_mode=ParseMode.HTML))
    plain = Bot(TOKEN, session=DirectSession())
    rule = COUNTED["sendMessage"]

    assert composer.from_method(prepare(marked, SendMessage(chat_id=5, text="&lt;" * 4_000)), rule).cost == 1
    with pytest.raises(Refusal, match="message is too long"):
        composer.from_method(prepare(plain, SendMessage(chat_id=5, text="&lt;" * 4_000)), rule)
    with pytest.raises(Refusal, match="message caption is too long"):
        composer.from_method(prepare(plain, SendPhoto(chat_id=5, photo="id", caption="a" * 1_025)), rule)
