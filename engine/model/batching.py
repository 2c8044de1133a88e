"""Cuts a list: into the batches that a port takes, or so that what must go in separately does."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut into batches of at most ``size``.

    >>> list(batches("abcde", 2))
    ['ab', 'cd', 'e']
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


def runs(items: Sequence[Item], key: Callable[[Item], Hashable | None]) -> Iterator[Sequence[Item]]:
    """Cut before each item whose key the run has already; None is no key.

    >>> list(runs("-a-b-a-b-", lambda each: None if each == "-" else each))
    ['-a-b-', 'a-b-']
    """
    start, keys = 0, set[Hashable]()
    for index, item in enumerate(items):
        if (found := key(item)) is None:
            continue
        if found in keys:
            yield items[start:index]
            start, keys = index, set()
        keys.add(found)
    if start < len(items):
        yield items[start:]
