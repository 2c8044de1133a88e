"""Checks that each parameter has a type that its method declares.

Of most calls each has exactly that type: to see it takes one or two microseconds, and to build aiogram's model twenty.
Every other call goes through the model, which also gives the error message.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.telegram.method_classes import AnyMethod

SIMPLE = (str, int, bool, float, NoneType)

Kinds = Mapping[str, tuple[type, ...]]


def check(method: type[AnyMethod], params: Mapping[str, Any]) -> None:
    """Refuse a call whose parameters are missing, or of a wrong type.

    Raises:
        Refusal: One sentence that names the parameter.
    """
    if not is_plain(method, params):
        try:
            method.model_validate(dict(params))
        except ValidationError as error:
            raise _refusal(method.__api_method__, error) from None


def _refusal(name: str, error: ValidationError) -> Refusal:
    first = error.errors()[0]
    where = str(first["loc"][0])  # the rest are the names of types that were tried
    if first["type"] == "missing":
        return Refusal(f"{name} needs {where}")
    sentence = f"{name}: {where} is {short(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return Refusal(sentence, loggable=f"{name}: {where} is refused: {first['type']}")


def is_plain(method: type[AnyMethod], params: Mapping[str, Any]) -> bool:
    """Tell whether the parameters are certainly valid.

    >>> from aiogram.methods import SendMessage
    >>> is_plain(SendMessage, {"chat_id": 7, "text": "hello"})
    True
    >>> is_plain(SendMessage, {"chat_id": 7}), is_plain(SendMessage, {"chat_id": 7, "text": b"hello"})
    (False, False)
    """
    kinds, required = _kinds(method)
    return required <= params.keys() and all(type(value) in kinds.get(name, ()) for name, value in params.items())


@cache
def _kinds(method: type[AnyMethod]) -> tuple[Kinds, frozenset[str]]:
    """Return the simple types of each parameter, and the names of the required ones."""
    fields = method.model_fields.items()
    kinds = {name: tuple(kind for kind in SIMPLE if kind in _members(field.annotation)) for name, field in fields}
    return kinds, frozenset(name for name, field in fields if field.is_required())


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
