"""Turns a validation error into one sentence that names the field and quotes the value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tempogram.api.core.redaction import short

SECRET_FIELDS = frozenset({"token", "password"})
"""Fields whose value is never quoted."""

SUBJECT = re.compile(r"^(?:Input|String|List|Dictionary|Value|Number) should ")
WITHOUT_VALUE = frozenset({"too_long", "string_too_long", "string_too_short", "too_short"})
"""Kinds of errors whose sentence needs no value."""


def sentence_of(error: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a sentence.

    >>> loc, said = ("body", "priority"), "Input should be 'high', 'normal' or 'low'"
    >>> sentence_of({"type": "enum", "loc": loc, "msg": said, "input": "urgent"})
    "priority should be 'high', 'normal' or 'low', not 'urgent'"
    >>> sentence_of({"type": "missing", "loc": ("body", "bot"), "msg": "Field required", "input": {}})
    'bot is missing'
    """
    field = _field(error["loc"])
    match error["type"]:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is not a field of this request"
        case "model_type" | "model_attributes_type" | "dict_type" if field == "the body":
            return "the body should be a JSON object, sent with Content-Type: application/json"
        case "list_type" if field == "the body":
            return "the body should be a JSON list, sent with Content-Type: application/json"
        case kind:
            return _sentence(field, error["msg"]) + _quoted(field, kind, error["input"])


def first_sentence(error: ValidationError, *, without: str = "") -> str:
    """Return the first of what is wrong with values that stand in no body, as a sentence.

    Args:
        error: Of a model that was read from them.
        without: A part of the path that the caller does not know.
    """
    first = error.errors(include_url=False)[0]
    path = (part for part in first["loc"] if part != without)
    return sentence_of({**first, "loc": ("values", *path)})


def _field(loc: Sequence[int | str]) -> str:
    """Return the path of the field without ``body`` or ``query`` in front."""
    return ".".join(str(part) for part in loc[1:]) or "the body"


def _sentence(field: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if message.startswith("should "):
        return f"{field} {message}"
    if SUBJECT.match(message):
        return SUBJECT.sub(f"{field} should ", message)
    return message if field == "the body" else f"{field}: {message[:1].lower()}{message[1:]}"


def _quoted(field: str, kind: str, value: object) -> str:
    is_hidden = field == "the body" or kind in WITHOUT_VALUE or field in SECRET_FIELDS
    return "" if is_hidden else f", not {short(value)}"
