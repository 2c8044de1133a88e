"""Every call that skips validation would have passed it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from aiogram.methods import SendMessage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tempogram.bot.telegram.method_classes import BY_NAME, AnyMethod
from tempogram.bot.telegram.methods import COUNTED
from tempogram.bot.validation.parameter_types import is_plain

METHODS = [BY_NAME[name.lower()] for name in COUNTED]
SIMPLE_VALUES = (None, True, 7, 1.5, "7")
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


def simple_calls(method: type[AnyMethod]) -> Iterator[dict[str, Any]]:
    """Yield every choice of simple values for what must be there, then each other parameter with each of them."""
    required = [name for name, field in method.model_fields.items() if field.is_required()]
    plain: dict[str, Any] = {}
    for values in product(SIMPLE_VALUES, repeat=len(required)):
        yield (params := dict(zip(required, values, strict=True)))
        plain = params if is_plain(method, params) else plain
    for name, value in product(method.model_fields, SIMPLE_VALUES):
        yield plain | {name: value}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__api_method__)
def test_every_call_with_simple_values_that_is_plain_is_valid(method: type[AnyMethod]) -> None:
    for params in simple_calls(method):
        if is_plain(method, params):
            method.model_validate(params)


@st.composite
def calls(draw: st.DrawFn) -> tuple[type[AnyMethod], dict[str, Any]]:
    method = draw(st.sampled_from(METHODS))
    required = [name for name, field in method.model_fields.items() if field.is_required()]
    others = draw(st.lists(st.sampled_from(list(method.model_fields)), max_size=4))
    return method, {name: draw(VALUES) for name in [*required, *others]}


@given(call=calls())
def test_every_plain_call_is_valid(call: tuple[type[AnyMethod], dict[str, Any]]) -> None:
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
def test_a_plain_call_is_recognised(params: dict[str, Any]) -> None:
    assert is_plain(SendMessage, params)


@pytest.mark.parametrize("text", [7, True, None, ["hello"]])
def test_a_call_that_the_model_refuses_is_not_plain(text: Any) -> None:
    params = {"chat_id": 7, "text": text}

    assert not is_plain(SendMessage, params)
    with pytest.raises(ValidationError):
        SendMessage.model_validate(params)


def test_a_call_that_the_model_would_convert_is_not_plain() -> None:
    assert not is_plain(SendMessage, {"chat_id": 7, "text": "hello", "reply_markup": {"inline_keyboard": []}})
    assert not is_plain(SendMessage, {"chat_id": 7, "text": "hello", "colour": "red"})
