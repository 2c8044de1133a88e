"""What a source answered, bounded, so that it can be stored, compared and shown."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tempogram.engine.model.watches import Fields, Value

FIELDS_MAX = 50

NAME_MAX = 50

TEXT_MAX = 500
"""Characters of a text, as of a name; what is longer is cut: it stands in a digest."""


def fields_of(answer: object) -> Fields:
    r"""Return the fields of an answer.

    >>> fields_of({"price": 9.5, "name": "a\x00b"})
    {'price': 9.5, 'name': 'a?b'}

    Raises:
        ValueError: It is none.
    """
    if not isinstance(answer, Mapping):
        raise ValueError(f"a source must answer with names and values, not {type(answer).__name__}")  # noqa: TRY004 - it is the source's error
    if len(answer) > FIELDS_MAX:
        raise ValueError(f"a source answered with {len(answer)} fields; there may be {FIELDS_MAX}")
    return {_text(str(name), NAME_MAX): _value(str(name), value) for name, value in answer.items()}


def _value(name: str, value: object) -> Value:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        return _text(value, TEXT_MAX)
    raise ValueError(
        f"field {name!r} of a source is {type(value).__name__}; it must be a number, a text or a truth value"
    )


def _text(text: str, most: int) -> str:
    return text[:most].replace("\x00", "?").encode("utf-8", "replace").decode()
