"""What passes without validation would have passed it."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.methods import SendMessage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.methods import BY_NAME, COUNTED, AnyMethod
from bot.plain import is_plain

METHODS = [BY_NAME[name.lower()] for name in COUNTED]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@st.composite
def calls(draw: st.DrawFn) -> tuple[type[AnyMethod], dict[str, Any]]:
    method = draw(st.sampled_from(METHODS))
    required = [name for name, field in method.model_fields.items() if field.is_required()]
    others = draw(st.lists(st.sampled_from(list(method.model_fields)), max_size=4))
    return method, {name: draw(VALUES) for name in [*required, *others]}


@given(call=calls())
def test_whatever_is_plain_is_valid(call: tuple[type[AnyMethod], dict[str, Any]]) -> None:
    method, params = call

    if is_plain(method, params):
        method.model_validate(params)


@pytest.mark.parametrize(
    "params",
    [
        {"chat_id": 7, "text": "hello"},
        {"chat_id": "@news", "text": "👋", "parse_mode": "HTML", "disable_notification": True},
        {"chat_id": 7, "text": "hello", "parse_mode": None},
    ],
)
def test_a_plain_call_is_found_plain(params: dict[str, Any]) -> None:
    assert is_plain(SendMessage, params)


@pytest.mark.parametrize("text", [7, True, None, ["hello"]])
def test_what_the_model_refuses_is_not_plain(text: Any) -> None:
    params = {"chat_id": 7, "text": text}

    assert not is_plain(SendMessage, params)
    with pytest.raises(ValidationError):
        SendMessage.model_validate(params)


def test_what_the_model_would_convert_or_does_not_know_is_left_to_it() -> None:
    assert not is_plain(SendMessage, {"chat_id": 7, "text": "hello", "reply_markup": {"inline_keyboard": []}})
    assert not is_plain(SendMessage, {"chat_id": 7, "text": "hello", "colour": "red"})
