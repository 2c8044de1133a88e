"""Calls become messages of the engine, and messages the bytes that are sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.enums import ParseMode
from aiogram.methods import (
    CopyMessages,
    EditMessageText,
    ForwardMessages,
    SendDocument,
    SendMediaGroup,
    SendMessage,
    SendPhoto,
    SendPoll,
)
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    InputPollOption,
    LinkPreviewOptions,
    ReplyParameters,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tempogram.api.core.ports import Refusal
from tempogram.bot.telegram.call_body import body_of
from tempogram.bot.telegram.composer import PAID, MethodComposer, prepare
from tempogram.bot.telegram.method_classes import BY_NAME, AnyMethod
from tempogram.bot.telegram.methods import COUNTED
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import ChatId, Guarantee, Outgoing, Priority
from tests.bot.fakes import BOT_ID, TOKEN, DirectSession
from tests.fakes import START_MS, Clock

Compose = Callable[..., Outgoing]


@pytest.fixture
def bot() -> Bot:
    return Bot(TOKEN, session=DirectSession())


@pytest.fixture
def made(composer: MethodComposer, bot: Bot) -> Compose:
    """Make a message from one of aiogram's methods."""

    def make(method: AnyMethod, **options: Any) -> Outgoing:
        return composer.from_method(prepare(bot, method), COUNTED[method.__api_method__], **options)

    return make


@pytest.fixture
def wanted(composer: MethodComposer) -> Compose:
    """Make a message from a request of the API."""

    def make(method: str = "sendMessage", chat_id: ChatId | None = 5, **params: Any) -> Outgoing:
        return composer.compose(BOT_ID, chat_id, method, params)

    return make


INVOICE = {
    "title": "title",
    "description": "description",
    "payload": "payload",
    "currency": "XTR",
    "prices": [{"label": "one", "amount": 1}],
}


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refused:
        call()
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 200
    return text


# Parameters


def test_parameters_are_json_and_the_chat_is_kept_apart(made: Compose) -> None:
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Yes", callback_data="y")]])

    message = made(SendMessage(chat_id=5, text="hello", reply_markup=keyboard, disable_notification=True))

    assert (message.bot_id, message.chat_id, message.method) == (BOT_ID, 5, "sendMessage")
    assert json.loads(message.params) == {
        "text": "hello",
        "disable_notification": True,
        "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]},
    }


def test_a_bots_defaults_are_filled_in_when_the_call_is_made(composer: MethodComposer) -> None:
    defaults = DefaultBotProperties(parse_mode=ParseMode.HTML, protect_content=True, link_preview_is_disabled=True)
    bot = Bot(TOKEN, session=DirectSession(), default=defaults)

    message = composer.from_method(prepare(bot, SendMessage(chat_id=5, text="hello")), COUNTED["sendMessage"])

    params = json.loads(message.params)
    assert (params["parse_mode"], params["protect_content"]) == ("HTML", True)
    assert params["link_preview_options"] == {"is_disabled": True}


def test_a_calls_own_parameters_win_over_the_defaults(composer: MethodComposer) -> None:
    bot = Bot(TOKEN, session=DirectSession(), default=DefaultBotProperties(parse_mode=ParseMode.HTML))
    method = SendMessage(chat_id=5, text="*hello*", parse_mode="MarkdownV2")

    message = composer.from_method(prepare(bot, method), COUNTED["sendMessage"])

    assert json.loads(message.params)["parse_mode"] == "MarkdownV2"


def test_objects_within_parameters_and_times_are_json_too(made: Compose) -> None:
    closes_at = datetime(2026, 1, 1, tzinfo=UTC)
    poll = SendPoll(
        chat_id=5,
        question="?",
        options=[InputPollOption(text="a"), "b"],
        close_date=closes_at,
        reply_parameters=ReplyParameters(message_id=3),
    )

    params = json.loads(made(poll).params)

    assert [option if isinstance(option, str) else option["text"] for option in params["options"]] == ["a", "b"]
    assert int(params["close_date"]) == int(closes_at.timestamp())
    assert params["reply_parameters"]["message_id"] == 3


def test_unset_parameters_are_not_sent(made: Compose) -> None:
    method = SendMessage(chat_id=5, text="hello", link_preview_options=LinkPreviewOptions(url=None, is_disabled=False))

    assert json.loads(made(method).params) == {"text": "hello", "link_preview_options": {"is_disabled": False}}


def test_a_message_is_normal_and_at_least_once_by_default(composer: MethodComposer) -> None:
    usual = composer.compose(BOT_ID, 5, "sendMessage", {"text": "a"})
    chosen = composer.compose(
        *(BOT_ID, 5, "sendMessage", {"text": "a"}),
        priority=Priority.HIGH,
        guarantee=Guarantee.AT_MOST_ONCE,
        dedup_key="k",
        user_id=501,
    )

    assert (usual.priority, usual.guarantee, usual.dedup_key) == (Priority.NORMAL, Guarantee.AT_LEAST_ONCE, None)
    assert (chosen.priority, chosen.guarantee, chosen.dedup_key) == (Priority.HIGH, Guarantee.AT_MOST_ONCE, "k")
    assert (usual.user_id, chosen.user_id) == (None, 501)
    assert usual.submitted_at_ms == START_MS


# Whose budget, and how much of it


@pytest.mark.parametrize(
    ("method", "cost"),
    [
        (SendMessage(chat_id=5, text="a"), 1),
        (SendMediaGroup(chat_id=5, media=[InputMediaPhoto(media="id")] * 3), 3),
        (ForwardMessages(chat_id=5, from_chat_id=6, message_ids=[1, 2, 3, 4]), 4),
        (CopyMessages(chat_id=5, from_chat_id=6, message_ids=[1, 2]), 2),
        (EditMessageText(chat_id=5, message_id=3, text="b"), 1),
    ],
    ids=lambda value: getattr(value, "__api_method__", str(value)),
)
def test_a_message_costs_as_many_places_as_telegram_counts(made: Compose, method: AnyMethod, cost: int) -> None:
    assert made(method).cost == cost


def test_the_edit_of_an_inline_message_uses_no_chats_budget_and_names_no_chat(made: Compose) -> None:
    message = made(EditMessageText(inline_message_id="AbC", text="b"))

    assert message.chat_id == "inline:AbC"
    assert json.loads(body_of(message)) == {"inline_message_id": "AbC", "text": "b"}


@pytest.mark.parametrize(
    ("given_id", "kept"), [("-100123", -100123), ("5", 5), (-7, -7), ("@News", "@news"), ("@NEWS", "@news")]
)
def test_a_chat_id_given_as_text_becomes_a_number(
    made: Compose, wanted: Compose, given_id: ChatId, kept: ChatId
) -> None:
    assert made(SendMessage(chat_id=given_id, text="a")).chat_id == kept
    assert wanted(chat_id=given_id, text="a").chat_id == kept


# What a client writes


@pytest.mark.parametrize("name", ["sendmessage", "SENDMESSAGE", "sendMessage"])
def test_a_methods_name_may_be_written_in_any_case(wanted: Compose, name: str) -> None:
    assert wanted(name, text="a").method == "sendMessage"


def test_a_file_is_named_in_the_parameters_and_kept_beside_them(bot: Bot) -> None:
    file = BufferedInputFile(b"bytes", "a.txt")

    prepared = prepare(bot, SendDocument(chat_id=5, document=file))

    ((name, carried),) = prepared.files.items()
    assert prepared.params["document"] == f"attach://{name}"
    assert carried is file


def test_a_clients_file_goes_into_the_parameter_of_its_name(composer: MethodComposer) -> None:
    params = {"caption": "attach://thumbnail"}

    message = composer.compose(BOT_ID, 5, "sendVideo", params, files=["video", "thumbnail"])

    assert json.loads(message.params) == {
        "caption": "attach://thumbnail",
        "video": "attach://video",
        "thumbnail": "attach://thumbnail",
    }


def test_a_clients_file_may_be_named_within_a_json_parameter(composer: MethodComposer) -> None:
    media = [
        {"type": "photo", "media": "attach://a"},
        {"type": "video", "media": "attach://b", "thumbnail": "attach://c"},
    ]

    message = composer.compose(BOT_ID, 5, "sendMediaGroup", {"media": json.dumps(media)}, files=["a", "b", "c"])

    assert json.loads(message.params) == {"media": media}
    assert message.cost == 2


@pytest.mark.parametrize(("method", "params"), [("sendMessage", {"text": "a"}), ("sendPhoto", {"photo": "AgAC"})])
def test_a_file_that_no_parameter_takes_is_refused(
    composer: MethodComposer, method: str, params: dict[str, str]
) -> None:
    assert sentence(lambda: composer.compose(BOT_ID, 5, method, params, files=["cat"])) == (
        f"{method} takes no file 'cat', and no parameter is attach://cat"
    )


@pytest.mark.parametrize("media", ["attach://cat", '{"type": "photo", "media": {"a": "attach://cat"}}'])
def test_a_refusal_quotes_a_file_by_its_name(composer: MethodComposer, media: str) -> None:
    params = {"message_id": 3, "media": media}

    refusal = sentence(lambda: composer.compose(BOT_ID, 5, "editMessageMedia", params, files=["cat"]))

    assert "the file 'cat'" in refusal
    assert "object at 0x" not in refusal


def test_json_in_a_text_parameter_of_a_form_is_decoded(composer: MethodComposer) -> None:
    params = {"text": "[1]", "disable_notification": "true", "reply_markup": '{"remove_keyboard": true}'}

    message = composer.compose(BOT_ID, 5, "sendMessage", params)

    assert json.loads(message.params) == {
        "text": "[1]",
        "disable_notification": True,
        "reply_markup": {"remove_keyboard": True},
    }


def test_a_file_id_is_not_an_upload(made: Compose) -> None:
    assert json.loads(made(SendPhoto(chat_id=5, photo="AgACAgIAAx")).params) == {"photo": "AgACAgIAAx"}


@pytest.mark.parametrize(
    ("method", "chat_id", "params", "belongs_to", "body"),
    [
        ("deleteMessage", 5, {"message_id": 7}, 5, {"chat_id": 5, "message_id": 7}),
        ("PINCHATMESSAGE", "-5", {"message_id": "7"}, -5, {"chat_id": -5, "message_id": 7}),
        ("setMyName", None, {"name": "Tempo"}, "method:setMyName", {"name": "Tempo"}),
    ],
)
def test_an_uncounted_call_costs_nothing(
    wanted: Compose, method: str, chat_id: ChatId | None, params: dict[str, Any], belongs_to: ChatId, body: Any
) -> None:
    message = wanted(method, chat_id, **params)

    assert (message.cost, message.chat_id) == (0, belongs_to)
    assert json.loads(body_of(message)) == body


def test_a_call_that_must_not_be_made_twice_is_sent_at_most_once_whatever_is_asked_for(
    composer: MethodComposer,
) -> None:
    asked = {
        guarantee: composer.compose(1, None, "createInvoiceLink", INVOICE, guarantee=guarantee)
        for guarantee in Guarantee
    }
    deletes = {each: composer.compose(1, 5, "deleteMessage", {"message_id": 7}, guarantee=each) for each in Guarantee}

    assert {message.guarantee for message in asked.values()} == {Guarantee.AT_MOST_ONCE}
    assert all(message.guarantee is guarantee for guarantee, message in deletes.items())


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("sendMesage", {"text": "a"}, "'sendMesage' is not a method of the Bot API; for a plain text use sendMessage"),
        ("x" * 5_000, {}, "is not a method of the Bot API"),
        ("getMe", {}, "getMe is not sent through the queue; call it on the Bot API directly"),
        ("sendMessage", {}, "sendMessage needs text"),
        ("sendMessage", {"text": ""}, "message text is empty: sendMessage needs a text"),
        ("sendMessage", {"text": " \n "}, "message text is empty: sendMessage needs a text"),
        ("sendMessage", {"text": 5}, "sendMessage: text is 5: input should be a valid string"),
        ("sendMessage", {"text": None}, "sendMessage: text is None: input should be a valid string"),
        ("sendMessage", {"text": ["x" * 5_000]}, "sendMessage: text is ['xxx"),
        ("sendLocation", {"latitude": "north", "longitude": 1}, "sendLocation: latitude is 'north': input should be"),
        ("sendPhoto", {}, "sendPhoto needs photo"),
        ("sendPoll", {"question": "?", "options": "no list"}, "sendPoll: options is 'no list': input should be"),
        (
            "sendMediaGroup",
            {"media": [{"type": "nonsense", "media": "x"}]},
            "sendMediaGroup: media is 'nonsense': input should be",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_call_that_telegram_would_refuse_is_refused_in_one_sentence(
    wanted: Compose, method: str, params: dict[str, Any], expected: str
) -> None:
    assert expected in sentence(lambda: wanted(method, **params))


def test_a_text_that_is_no_unicode_is_refused_in_telegrams_words(wanted: Compose) -> None:
    assert sentence(lambda: wanted("setMyName", None, name=["\ud83d"])) == (
        "setMyName: name is ['\\ud83d']: input should be a valid string"
    )
    assert sentence(lambda: wanted(text="a", unknown=["\ud83d"])) == (
        "strings must be encoded in UTF-8: sendMessage has half of a surrogate pair"
    )


def test_a_method_that_needs_a_chat_is_refused_without_one(wanted: Compose) -> None:
    assert sentence(lambda: wanted(chat_id=None, text="a")) == "sendMessage needs chat_id"


# The body

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=12).filter(lambda name: name != "chat_id")


@given(
    params=st.dictionaries(NAMES, ANY_JSON, max_size=6),
    chat_id=st.integers(-(2**52), 2**52) | st.sampled_from(["@news", "@x_1"]) | st.none(),
)
def test_the_body_is_the_parameters_and_the_chat(params: dict[str, Any], chat_id: ChatId | None) -> None:
    encoded = json.dumps(params, separators=(",", ":")).encode()
    message = Outgoing(id="a", bot_id=1, chat_id=chat_id, method="sendMessage", params=encoded)

    body = json.loads(body_of(message))

    assert body == (params if chat_id is None else {"chat_id": chat_id} | params)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).filter(str.strip))
def test_any_text_arrives_as_it_was_written(text: str) -> None:
    composer = MethodComposer(clock=Clock(), ids=Ids())

    message = composer.compose(BOT_ID, 5, "sendMessage", {"text": text})

    assert json.loads(body_of(message)) == {"chat_id": 5, "text": text}


@pytest.mark.parametrize(
    ("method", "params", "options", "replaces"),
    [
        ("editMessageText", {"message_id": 7, "text": "a"}, {}, "edit:7"),
        ("editMessageReplyMarkup", {"message_id": "7"}, {}, "edit:7"),
        ("editMessageText", {"inline_message_id": "AbC", "text": "a"}, {}, "edit:AbC"),
        ("editMessageText", {"message_id": 7, "text": "a", "business_connection_id": "x"}, {}, "edit:x:7"),
        ("editMessageText", {"message_id": 7, "text": "a"}, {"ready_at_ms": 99}, None),
        ("stopMessageLiveLocation", {"message_id": 7}, {}, None),
        ("sendMessage", {"text": "a"}, {}, None),
    ],
)
def test_an_edit_replaces_a_waiting_one_unless_it_is_scheduled(
    composer: MethodComposer, method: str, params: dict[str, Any], options: dict[str, Any], replaces: str | None
) -> None:
    chat_id = None if "inline_message_id" in params else 5

    assert composer.compose(BOT_ID, chat_id, method, params, **options).replaces == replaces


@pytest.mark.parametrize("value", [True, "true", 1])
def test_a_paid_call_is_marked_apart_from_its_parameters(clock: Clock, value: object) -> None:
    paying = MethodComposer(clock=clock, ids=Ids(), may_pay=True)

    message = paying.compose(BOT_ID, 5, "sendMessage", {"text": "a", "allow_paid_broadcast": value})

    assert (message.is_paid, message.params) == (True, b'{"text":"a"}')
    assert json.loads(body_of(message)) == {"chat_id": 5, "text": "a", "allow_paid_broadcast": True}
    assert json.loads(body_of(structs.replace(message, is_paid=False))) == {"chat_id": 5, "text": "a"}


def test_a_paid_aiogram_method_is_marked_too(clock: Clock, bot: Bot) -> None:
    paying = MethodComposer(clock=clock, ids=Ids(), may_pay=True)
    method = SendMessage(chat_id=5, text="a", allow_paid_broadcast=True)

    assert paying.from_method(prepare(bot, method), COUNTED["sendMessage"]).is_paid


def test_a_paid_call_is_refused_while_the_stars_cap_is_0(wanted: Compose) -> None:
    said = sentence(lambda: wanted(text="a", allow_paid_broadcast=True))

    assert said == (
        "sendMessage with allow_paid_broadcast costs Stars, and the cap is 0; "
        "set TELEGRAM_PAID_STARS_CAP to how many a day"
    )


@pytest.mark.parametrize("value", [False, None, "false", 0])
def test_a_call_that_declines_to_pay_is_an_ordinary_one(wanted: Compose, value: object) -> None:
    message = wanted(text="a", allow_paid_broadcast=value)

    assert (message.is_paid, message.params) == (False, b'{"text":"a"}')


def test_every_method_that_can_be_paid_for_passes_the_queue() -> None:
    payable = {method.__api_method__ for method in BY_NAME.values() if PAID in method.model_fields}

    assert payable
    assert payable <= set(COUNTED)
