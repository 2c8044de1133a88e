"""The words of each line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiogram.types import Update
from rich.cells import cell_len

from tempogram.bot.terminal import lines
from tempogram.bot.terminal.names import Names
from tempogram.storage.bots import RegisteredBot
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.talk import GROUP, PRIVATE, person, update
from tests.fakes import outgoing

WIDTH = 80
PHOTO = {"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}


class NewsBot:
    """A registry with one bot."""

    def __init__(self, name: str = "News bot") -> None:
        self.name = name

    def has(self, bot_id: int) -> bool:
        return bot_id == BOT_ID

    def registered(self, bot_id: int) -> RegisteredBot:
        return RegisteredBot(
            bot_id=bot_id,
            username="news_bot",
            first_name=self.name,
            behaviours={},
            paused=False,
            weight=1,
            added_at_ms=0,
        )


@pytest.fixture
def names() -> Names:
    names = Names()
    names.bots = NewsBot()
    return names


def received(content: Mapping[str, Any], names: Names, width: int = WIDTH) -> str:
    return lines.received(Update.model_validate(content), BOT_ID, 1, names, width).plain


def learn(names: Names, *contents: Mapping[str, Any]) -> None:
    for content in contents:
        message = Update.model_validate(content).message
        assert message is not None
        names.learn(message.chat)


def test_a_private_message_is_said_with_its_user(names: Names) -> None:
    assert received(update("/price"), names) == "News bot ← Anna: /price"


def test_a_token_that_a_user_writes_to_a_bot_is_hidden(names: Names) -> None:
    assert received(update(f"/add {TOKEN}"), names) == "News bot ← Anna: /add 42:…"


def test_a_message_in_a_group_names_the_group(names: Names) -> None:
    assert received(update("hello", chat_id=GROUP), names) == "News bot ← Anna (Chess club): hello"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"photo": [PHOTO], "caption": "the sea"}, "photo: the sea"),
        ({"location": {"latitude": 1, "longitude": 2}}, "location"),
        ({"new_chat_members": [person("Boris")]}, "new chat members"),
    ],
)
def test_a_message_without_a_text_says_what_it_is(names: Names, message: dict[str, Any], said: str) -> None:
    assert received(update(None, **message), names) == f"News bot ← Anna: {said}"


def test_a_pressed_button_is_named_by_what_stands_on_it(names: Names) -> None:
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y:1"}]]}
    message = update("Sure?", reply_markup=keyboard)["message"]
    query = {"id": "1", "from": person("Anna"), "chat_instance": "x", "data": "y:1", "message": message}

    assert received({"update_id": 1, "callback_query": query}, names) == "News bot ← Anna: presses 'Yes'"


def test_an_edit_an_inline_query_and_an_unknown_update_are_said(names: Names) -> None:
    message = update("helo")["message"]
    query = {"id": "1", "from": person("Anna"), "query": "cats", "offset": ""}

    said = [
        received({"update_id": 1, "edited_message": message | {"edit_date": 2}}, names),
        received({"update_id": 2, "inline_query": query}, names),
        received({"update_id": 3, "from_the_future": {}}, names),
    ]

    assert said == [
        "News bot ← Anna: edits: helo",
        "News bot ← Anna: inline query: cats",
        "News bot ← Telegram: something that this version does not know",
    ]


def test_a_sent_message_names_its_chat_and_the_time_of_its_call(names: Names) -> None:
    learn(names, update("hi"), update("hi", chat_id=GROUP))

    said = [
        lines.sent(outgoing("a", bot_id=BOT_ID, chat_id=PRIVATE), names, 20, 40, WIDTH).plain,
        lines.sent(outgoing("b", bot_id=BOT_ID, chat_id=GROUP), names, 31, 12_400, WIDTH).plain,
        lines.sent(outgoing("c", bot_id=BOT_ID, chat_id=-9, method="sendPhoto"), names, 20, 0, WIDTH).plain,
    ]

    assert said == [
        "News bot → Anna A.: sent, 0.02 s",
        "News bot → Chess club: sent, 0.03 s, after 12 s in the queue",
        "News bot → chat -9: sendPhoto done, 0.02 s",
    ]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "throttled", "hold_ms": 7_000}, "Telegram says wait 7 s"),
        (
            {"event": "message_retried", "delay_ms": 1_500, "attempt": 1, "reason": "Bad Gateway"},
            "tries again in 1.5 s, as attempt 1 failed: Bad Gateway",
        ),
        (
            {"event": "message_dead", "reason": "Bad Request: chat not found"},
            "not sent, now a dead letter: Bad Request: chat not found",
        ),
        ({"event": "message_uncertain", "reason": "no answer"}, "perhaps sent, and not tried again: no answer"),
    ],
)
def test_what_failed_is_said_with_its_reason(names: Names, event: dict[str, Any], said: str) -> None:
    learn(names, update("hi", chat_id=GROUP))

    drawn = lines.failed(event | {"bot_id": BOT_ID, "chat_id": GROUP}, names, WIDTH)

    assert drawn.plain == f"News bot → Chess club: {said}"


def test_a_hold_of_a_whole_bot_names_no_chat(names: Names) -> None:
    drawn = lines.failed({"event": "throttled", "hold_ms": 7_000, "bot_id": BOT_ID, "chat_id": None}, names, WIDTH)

    assert drawn.plain == "News bot: Telegram says wait 7 s"


@pytest.mark.parametrize(
    "name", ["[bold red]News[/]", "\x1b[2J\x1b]0;title\x07News", "N" * 500, "日本語" * 50, "a\u202eb"]
)
@pytest.mark.parametrize("width", [30, 80])
def test_a_hostile_name_or_text_can_neither_colour_nor_move_anything(name: str, width: int) -> None:
    names = Names()
    names.bots = NewsBot(name)
    content = update(name * 20, sender=name)

    drawn = lines.received(Update.model_validate(content), BOT_ID, 1, names, width)

    assert drawn.plain.isprintable()
    assert {span.style for span in drawn.spans} <= {"bold", "green", "cyan"}
    assert cell_len(drawn.plain) <= 4 * width


def test_the_titles_of_the_chats_that_were_seen_last_are_kept() -> None:
    names = Names(chats_max=1)
    learn(names, update("hi"), update("hi", chat_id=GROUP))

    assert names.chat(PRIVATE, cells=20) == f"chat {PRIVATE}"
    assert names.chat(GROUP, cells=20) == "Chess club"
