"""The data of a state as JSON, exactly as ``json.dumps`` writes it and as aiogram's ``RedisStorage`` stores it.

Not by ``msgspec``, which would store a date, a set or an infinite number as something else without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DATA_BYTES_MAX = 262_144
"""Of one key. Untuned: state and data are read together for each update, so large data would slow all of them."""


class NotJson(TypeError):
    """FSM data holds what JSON has no form for; nothing was stored."""


class DataTooLarge(ValueError):
    """FSM data has more than ``DATA_BYTES_MAX`` bytes; nothing was stored."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"FSM data of one key would have {size_bytes} bytes as JSON, and at most {DATA_BYTES_MAX} are stored; "
            "keep what is large elsewhere, and its id here"
        )


def encode(data: Mapping[str, Any]) -> bytes | None:
    """Return data as JSON; None for no data.

    Raises:
        NotJson, DataTooLarge: It cannot be stored.

    >>> encode({"size": "large", "toppings": ("ham",)}), encode({})
    (b'{"size":"large","toppings":["ham"]}', None)
    """
    if not data:
        return None
    try:
        encoded = _dump(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(_sentence(data, error)) from error
    if len(encoded) > DATA_BYTES_MAX:
        raise DataTooLarge(len(encoded))
    return encoded


def decode(encoded: bytes | None) -> dict[str, Any]:
    return {} if encoded is None else dict(json.loads(encoded.decode("utf-8", "surrogatepass")))


def merged(encoded: bytes | None, changes: bytes | None) -> bytes | None:
    """Return the first with the second's values, like ``dict.update``.

    Raises:
        DataTooLarge: Both together are.

    >>> merged(b'{"size":"small","n":1}', b'{"size":"large"}')
    b'{"size":"large","n":1}'
    """
    return encode(decode(encoded) | decode(changes))


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _sentence(data: Mapping[str, Any], error: Exception) -> str:
    """Name the entry that is no JSON.

    >>> _sentence({"name": "Ann", "tags": {1}}, TypeError("Object of type set is not JSON serializable"))
    "FSM data must be JSON, and data['tags'] is not (Object of type set is not JSON serializable)"
    """
    culprits = [f"data[{name!r}]" for name, value in data.items() if not _is_json({name: value})]
    return f"FSM data must be JSON, and {', '.join(culprits) or 'it'} is not ({error})"


def _is_json(value: object) -> bool:
    try:
        _dump(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
