from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.broadcasts.template import check, filled, has_fields
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
    assert has_fields({"media": [{"caption": "{title|x}"}]})
