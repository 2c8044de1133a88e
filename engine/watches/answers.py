"""What a source answered, bounded, so that it can be stored, compared and shown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from tempogram.engine.model.errors import EngineError
from tempogram.engine.model.texts import CONTROLS
from tempogram.engine.model.watches import Fields, Value

FIELDS_MAX = 50

NAME_MAX = 50

TEXT_MAX = 500
"""Characters of a text, as of a name; what is longer is cut: it stands in a digest."""

INTEGER_MAX = 10**30
"""A larger one is no price, and could have more digits than a message."""

_BREAKS = re.compile(f"[{CONTROLS}]+")
"""What would begin a line of its own in a digest, or turn the direction of its rest."""


class NoAnswer(EngineError):
    """What a source answered is none; its sentence quotes nothing of an address."""


def fields_of(answer: object) -> Fields:
    r"""Return the fields of an answer.

    >>> fields_of({"price": 9.5, "name": "a\x00b\n• c"})
    {'price': 9.5, 'name': 'a b • c'}

    Raises:
        NoAnswer: It is none.
    """
    if not isinstance(answer, Mapping):
        raise NoAnswer(f"a source must answer with names and values, not {type(answer).__name__}")
    if len(answer) > FIELDS_MAX:
        raise NoAnswer(f"a source answered with {len(answer)} fields; there may be {FIELDS_MAX}")
    return {(key := _text(str(name), NAME_MAX)): _value(key, value) for name, value in answer.items()}


def _value(name: str, value: object) -> Value:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= INTEGER_MAX:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        return _text(value, TEXT_MAX)
    kind = "not finite, or too large" if isinstance(value, int | float) else type(value).__name__
    raise NoAnswer(f"field {name!r} of a source is {kind}; it must be a number, a text or a truth value")


def _text(text: str, most: int) -> str:
    return _BREAKS.sub(" ", text[:most].encode("utf-8", "replace").decode())
