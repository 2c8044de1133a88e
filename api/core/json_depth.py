"""How deep JSON may be: not so deep that Python's own calls, which read it after the parser, cannot follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEPTH_MAX = 100
"""Lists and objects in one another. untuned: the deepest method of the Bot API has some ten."""

TOO_DEEP = f"lists and objects may stand in one another up to {DEPTH_MAX} deep"


def is_too_deep(value: Any, most: int = DEPTH_MAX) -> bool:
    """Tell whether more lists and objects than that stand in one another.

    Cost: O(values), and no recursion.

    >>> is_too_deep([{"a": [1]}], most=2), is_too_deep([{"a": [1]}], most=3)
    (True, False)
    """
    level = [value]
    for _ in range(most):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return False
    return any(isinstance(each, list | dict) for each in level)


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
