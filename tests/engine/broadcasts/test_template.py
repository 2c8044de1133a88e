from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.broadcasts.template import check, filled
from tempogram.engine.model.broadcasts import Addressee
from tempogram.engine.model.errors import SettingsError

ANNA = Addressee(chat_id=7, title="Anna_*<b>", language="de")


@pytest.mark.parametrize(
    ("parse_mode", "title"),
    [
        (None, "Anna_*<b>"),
        ("HTML", "Anna_*&lt;b&gt;"),
        ("MarkdownV2", r"Anna\_\*<b\>"),
        ("Markdown", r"Anna\_\*<b>"),
    ],
)
def test_a_title_is_escaped_as_the_parse_mode_asks(parse_mode: str | None, title: str) -> None:
    params = {"text": "*{title}*"} | ({"parse_mode": parse_mode} if parse_mode else {})

    assert filled(params, ANNA)["text"] == f"*{title}*"


def test_fields_are_filled_in_at_any_depth_and_others_left_alone() -> None:
    params = {"reply_markup": {"inline_keyboard": [[{"text": "{language} {chat_id}", "url": "{other}"}]]}, "x": 5}

    assert filled(params, ANNA) == {
        "reply_markup": {"inline_keyboard": [[{"text": "de 7", "url": "{other}"}]]},
        "x": 5,
    }


def test_a_field_in_a_title_is_not_filled_in() -> None:
    assert filled({"text": "{title}"}, Addressee(chat_id=7, title="{chat_id}"))["text"] == "{chat_id}"


@given(st.text())
def test_no_title_opens_a_tag(title: str) -> None:
    text = filled({"text": "{title}", "parse_mode": "HTML"}, Addressee(chat_id=7, title=title))["text"]

    assert "<" not in text
    assert html.unescape(text) == html.unescape(html.escape(title))


def test_entities_beside_fields_are_refused() -> None:
    check({"caption": "Hello", "caption_entities": [{"type": "bold"}]})

    with pytest.raises(SettingsError, match="caption_entities count the characters"):
        check({"caption": "Hello {title}", "caption_entities": [{"type": "bold"}]})


@pytest.mark.parametrize(
    "params",
    [
        {"question": "{title}?", "question_entities": [{"type": "bold"}]},
        {"options": [{"text": "{title}", "text_entities": [{"type": "bold"}]}]},
        {"media": [{"caption": "none"}, {"caption": "{title}", "caption_entities": [{"type": "bold"}]}]},
        {"reply_parameters": {"quote": "{title}", "quote_entities": [{"type": "bold"}]}},
    ],
)
def test_entities_of_an_album_or_a_poll_are_refused_beside_fields(params: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="_entities count the characters"):
        check(params)


def test_entities_of_a_text_without_fields_are_taken_beside_one_with_fields() -> None:
    check({"text": "Hello", "entities": [{"type": "bold"}], "reply_markup": {"keyboard": [[{"text": "{title}"}]]}})


def test_each_item_of_an_album_is_escaped_as_its_own_parse_mode_asks() -> None:
    items = [{"caption": "{title}", "parse_mode": "HTML"}, {"caption": "{title}"}]

    captions = [each["caption"] for each in filled({"media": items}, ANNA)["media"]]

    assert captions == ["Anna_*&lt;b&gt;", "Anna_*<b>"]


def test_each_text_of_a_poll_is_escaped_as_its_own_parse_mode_asks() -> None:
    poll = {
        "question": "{title}",
        "question_parse_mode": "HTML",
        "explanation": "{title}",
        "options": [{"text": "{title}", "text_parse_mode": "HTML"}, {"text": "{title}"}, "{title}"],
    }

    made = filled(poll, ANNA)

    escaped, plain = "Anna_*&lt;b&gt;", "Anna_*<b>"
    assert (made["question"], made["explanation"]) == (escaped, plain)
    assert made["options"] == [{"text": escaped, "text_parse_mode": "HTML"}, {"text": plain}, plain]


def test_labels_of_buttons_have_no_markup() -> None:
    params = {"text": "{title}", "parse_mode": "HTML", "reply_markup": {"keyboard": [[{"text": "{title}"}]]}}

    assert filled(params, ANNA)["reply_markup"] == {"keyboard": [[{"text": "Anna_*<b>"}]]}
